"""Warnings of another thread are not taken for those of a retrain."""

import threading
import warnings

from workers.own_warnings import own_warnings


def test_only_this_threads_warnings_are_recorded_and_the_old_filters_come_back():
    shown, filters = warnings.showwarning, list(warnings.filters)
    with own_warnings() as found:
        other = threading.Thread(target=warnings.warn, args=("the store starts",))
        other.start()
        other.join()
        for _ in range(2):
            warnings.warn("the retrain did not converge", UserWarning, stacklevel=1)
    assert [str(each.message) for each in found] == ["the retrain did not converge"] * 2
    assert (warnings.showwarning, list(warnings.filters)) == (shown, filters)
