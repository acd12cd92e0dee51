"""`nbdev_test` in an order drawn anew, with the CPU time of each notebook.

    python .ci/tests.py [--order N] [options of nbdev_test]

The order is drawn from N, which is printed and repeats it; without N it is drawn from the clock.
The times are CPU seconds of the notebook's process and of the processes it waited for; a table of
them, the longest first, ends the output.
"""
import random
import resource
import sys
import time
from importlib import import_module
from pathlib import Path

from nbdev import test

TIMES = 'cpu seconds:'   # begins the line that a finished notebook prints


def cpu_seconds():
    "Of this process and of its children that have ended"
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(test_notebook):
    "The same function, which prints what it took"
    def run(file, **options):
        start = cpu_seconds()
        result = test_notebook(file, **options)
        print(f'{TIMES} {cpu_seconds()-start:7.1f} {Path(file).parent.name}/{Path(file).name}')
        return result
    return run


def take_order(arguments):
    "The order's number, taken out of the arguments or drawn"
    if '--order' not in arguments: return int(time.time())
    place = arguments.index('--order')
    number = int(arguments[place + 1])
    del arguments[place:place + 2]
    return number


def prepare():
    "Have nbdev_test draw the order and time the notebooks"
    number = take_order(sys.argv)
    print(f'order {number}: python .ci/tests.py --order {number} repeats it')
    generator = random.Random(number)
    # nbdev_test looks these two up in its module when it runs
    test.sorted = lambda files: generator.sample(sorted(files), len(files))
    # a worker process finds the function by its module's name; a notebook takes the name __main__
    test.test_nb = import_module(Path(__file__).stem).run_notebook

run_notebook = timed(test.test_nb)
run_notebook.__qualname__ = 'run_notebook'

if __name__ == '__main__':
    prepare()
    test.nbdev_test()   # it reads the command line only where it is called from a script's top
    print(f'all of it: {cpu_seconds():.0f} CPU seconds')
