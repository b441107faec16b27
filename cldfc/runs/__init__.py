"""Run folders: what a training leaves behind, goes on from, and is tested by."""
