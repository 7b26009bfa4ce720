"""What a delivery of data is, before anything is learnt from it."""
