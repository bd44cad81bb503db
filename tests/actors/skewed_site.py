"""`python -m actors.site` with a wall clock that is SKEW_S seconds wrong."""

import os
import runpy
import time

wrong, right, right_ns = float(os.environ["SPROUT_SKEW_S"]), time.time, time.time_ns
time.time = lambda: right() + wrong
time.time_ns = lambda: right_ns() + int(wrong * 1e9)
runpy.run_module("actors.site", run_name="__main__", alter_sys=True)
