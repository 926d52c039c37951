"""One life of a run: trained or resumed, shown, and how it ended written down."""
