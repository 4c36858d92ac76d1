"""How models are judged, from what adds up; the front door is :mod:`medfl.learn.metrics.judge`."""
