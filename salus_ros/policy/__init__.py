"""The shipped policy: a tiny SmolVLA, learnt from the scripted expert."""
