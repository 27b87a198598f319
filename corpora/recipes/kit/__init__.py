"""The parts that make.py puts together: sources, senders, far end, capture, judge, manifest."""
