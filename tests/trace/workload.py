"""Work with a known cost, under names that a trace shows, and what a trace says of them."""

import time


def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(5000))  # the clock is a system call: not a tenth of it


def hot(seconds):
    spin(seconds)


def warm(seconds):
    spin(seconds)


def cpu_of(recorded, name):
    return sum(
        sample.value
        for sample in recorded.samples
        if sample.kind == "cpu" and any(frame.name == name for frame in recorded.stack(sample))
    )
