"""The RFM job on other stream processors: how to install them, how to run them, and what they must get right."""
