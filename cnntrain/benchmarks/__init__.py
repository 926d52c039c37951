"""What `cnntrain bench` measures: our training and inference beside other ways, in turn."""
