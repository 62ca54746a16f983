"""The blocking face: sessions and models whose verbs return their results. One line each; the logic lies below."""
