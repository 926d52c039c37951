"""Photos: decoding one, decoding many in parallel, and caching the decoded pixels."""
