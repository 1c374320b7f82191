"""Stands in for `test/service.py` of kafka-python's tests, which its source package lacks: a broker that somebody else runs."""


class ExternalService:
    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        """It runs."""

    def close(self):
        """It goes on."""


class SpawnedService:
    def __init__(self, *_arguments, **_more):
        raise RuntimeError("these tests run against a broker that is there")
