"""What customers say in words: whether it is praise or blame, learnt from the ratings that come along (MISSION B4)."""
