"""Write files in the background, one after the other, while the main thread trains on."""

import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType

Task = Callable[[], None]


class BackgroundWriter:
    """One thread that runs tasks in the order in which they were submitted.

    A task may rely on those before it: after one has raised, those behind it are dropped, until
    the main thread has heard of it by `submit`, `wait` or `close`. The thread never keeps the
    process from ending; only `wait` and `close` see to it that all is written.
    """

    def __init__(self) -> None:
        self.tasks: queue.Queue[Task | None] = queue.Queue(maxsize=1)  # beside the one that runs
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self.seconds = 0.0  # spent in tasks

    def submit(self, task: Task) -> None:
        """Queue a task; waits while one is running and another one is queued.

        Raises what an earlier task has raised; then this task is not queued.
        """
        self.raise_error()
        if self.thread is None:
            self.thread = threading.Thread(target=self.run_tasks, name="writer", daemon=True)
            self.thread.start()
        self.tasks.put(task)

    def wait(self) -> None:
        """Wait until all tasks are done; raise what one of them has raised."""
        self.tasks.join()
        self.raise_error()

    def close(self) -> None:
        """Wait until all tasks are done, and end the thread; raise what a task has raised."""
        self.tasks.join()
        if self.thread is not None:
            self.tasks.put(None)
            self.thread = None
        self.raise_error()

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        under_way: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; the error of a task is only a note to the exception that is under way, if any."""
        try:
            self.close()
        except Exception as error:
            if under_way is None:
                raise
            under_way.add_note(f"in the background also failed: {error!r}")

    def raise_error(self) -> None:
        """Raise what a task has raised, after the tasks behind it have been dropped."""
        if self.error is not None:
            self.tasks.join()
            error, self.error = self.error, None
            raise error

    def run_tasks(self) -> None:
        """Run tasks until there is None in their place: the work of the thread."""
        while (task := self.tasks.get()) is not None:
            if self.error is None:
                self.run_task(task)
            del task  # and the arrays that it holds
            self.tasks.task_done()
        self.tasks.task_done()

    def run_task(self, task: Task) -> None:
        began = time.perf_counter()
        try:
            task()
        except BaseException as error:  # any: it is raised in the main thread
            self.error = error
        self.seconds += time.perf_counter() - began
