"""What every engine is to the cases. Each is a context: it runs from `with` to its end."""


class Engine:
    """The traits are what was seen of the engines; the cases hold the worker to them.

    `name` is what `crosswheel worker --engine` calls it.
    """

    name = ""
    # Whether Execute looks into the action cache; otherwise that is the client's business.
    looks_up = True
    # Whether an execution can be ended by its client.
    cancels = True
    # Whether the engine gives the action of a worker that vanished to another one, unasked.
    reschedules = True
    # Whether the details of an action's status reach its client.
    passes_details = True
    # Whether executions outlive their scheduler, so that the client can go on waiting for them.
    persistent = False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def address(self):
        """HOST:PORT of what clients talk to."""
        raise NotImplementedError

    @property
    def cas_address(self):
        """HOST:PORT of where they and the workers find blobs and the action cache."""
        return self.address

    @property
    def grpc_address(self):
        """`address`, as Bazel wants it."""
        return f"grpc://{self.address}"

    @property
    def scheduler_url(self):
        """Where a worker takes its work from."""
        raise NotImplementedError

    @property
    def cas_url(self):
        """`cas_address`, as a worker wants it."""
        return f"grpc://{self.cas_address}"

    def start(self):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def restart_scheduler(self):
        """Ends it without a word, as a power cut would, and starts it again."""
        raise NotImplementedError

    def cancel(self, client, execution):
        """Ends an execution for good."""
        raise NotImplementedError

    def check_what_no_worker_has(self, run, client):
        """What is answered to actions that nobody offers to run. There is a worker of `run.platform`."""
        raise NotImplementedError

    def log(self):
        """The ends of the logs of all of its programs."""
        raise NotImplementedError
