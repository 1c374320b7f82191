"""Kafka Connect (a distributed worker with the file connectors), MirrorMaker 2 from one Headrace to another, and Debezium."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from broker import Broker, free_port
from suite import ROOT, NotRun
from toolchains import JAVA_OPTIONS, kcat, maven

SECONDS_MAX = 120
SERVERS = ROOT / "target" / "servers" / "bin"

WORKER = """\
bootstrap.servers={bootstrap}
group.id=connect-interop
key.converter=org.apache.kafka.connect.{converter}
value.converter=org.apache.kafka.connect.{converter}
key.converter.schemas.enable=false
value.converter.schemas.enable=false
config.storage.topic=connect-configs
offset.storage.topic=connect-offsets
status.storage.topic=connect-status
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=5
offset.flush.interval.ms=500
listeners=http://127.0.0.1:{port}
plugin.discovery=hybrid_warn
{more}
"""


def until(what, condition, seconds=SECONDS_MAX):
    """Waits for a condition, looked at five times a second; gives what it gave."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.2)


class Java:
    """A Java program that runs beside the checks."""

    def __init__(self, context, name, main, *words):
        self.context, self.name = context, name
        self.command = ["nice", "java", *JAVA_OPTIONS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", maven("ecosystem"), main,
                        *map(str, words)]
        self.process = None

    def start(self):
        with self.context.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Worker(Java):
    def __init__(self, context, converter="storage.StringConverter", more=""):
        self.port = free_port()
        file = context.work / "worker.properties"
        file.write_text(WORKER.format(bootstrap=context.bootstrap, port=self.port, converter=converter, more=more))
        super().__init__(context, "worker", "org.apache.kafka.connect.cli.ConnectDistributed", file)

    def ask(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                text = answer.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as failure:
            raise AssertionError(f"{method} {path}: {failure.code} {failure.read()[:300]!r}") from None

    def ready(self):
        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"the worker ended with {self.process.returncode}")
            try:
                self.ask("GET", "/connectors")
                return True
            except (OSError, AssertionError):
                return False

        until("the worker answers", answers)

    def running(self, connector):
        def looks():
            try:
                status = self.ask("GET", f"/connectors/{connector}/status")
            except AssertionError:
                return False
            for task in status["tasks"]:
                if task["state"] == "FAILED":
                    raise AssertionError(task["trace"][:300])
            return status["connector"]["state"] == "RUNNING" and status["tasks"] and all(task["state"] == "RUNNING" for task in status["tasks"])

        until(f"{connector} runs", looks)


class FileConnectors:
    def __init__(self, context):
        self.context = context
        self.source, self.sink = context.work / "source.txt", context.work / "sink.txt"
        self.worker = Worker(context)

    def write(self, first, upto):
        with self.source.open("a") as file:
            file.writelines(f"line-{i}\n" for i in range(first, upto))

    def arrived(self, upto):
        wanted = [f"line-{i}" for i in range(upto)]

        def all_there():
            got = self.sink.read_text().split() if self.sink.exists() else []
            # at least once: after a kill some may come again
            return sorted(set(got), key=lambda line: int(line[5:])) == wanted

        until(f"{upto} lines in the sink's file", all_there)

    def starts(self):
        self.write(0, 100)
        self.worker.start()
        self.worker.ready()

    def copies(self):
        self.worker.ask("POST", "/connectors", {"name": "source", "config": {
            "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "tasks.max": "1", "file": str(self.source),
            "topic": "connect-lines", "topic.creation.default.replication.factor": "1", "topic.creation.default.partitions": "2",
            "topic.creation.default.cleanup.policy": "delete", "topic.creation.default.retention.ms": "86400000"}})
        self.worker.ask("POST", "/connectors", {"name": "sink", "config": {
            "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "tasks.max": "2", "file": str(self.sink),
            "topics": "connect-lines"}})
        self.worker.running("source")
        self.worker.running("sink")
        self.arrived(100)
        self.write(100, 150)
        self.arrived(150)

    def topic_settings(self):
        said = self.worker.ask("GET", "/connectors/source/topics")
        if said["source"]["topics"] != ["connect-lines"]:
            raise AssertionError(f"topics of the source: {said}")

    def pauses(self):
        self.worker.ask("PUT", "/connectors/sink/pause")
        until("paused", lambda: self.worker.ask("GET", "/connectors/sink/status")["connector"]["state"] == "PAUSED")
        self.write(150, 170)
        self.worker.ask("PUT", "/connectors/sink/resume")
        self.worker.running("sink")
        self.arrived(170)

    def goes_on(self, end):
        end()
        self.write(170, 200)
        self.worker.start()
        self.worker.ready()
        self.arrived(200)

    def offsets(self):
        until("offsets of the source", lambda: self.worker.ask("GET", "/connectors/source/offsets")["offsets"])
        until("offsets of the sink", lambda: self.worker.ask("GET", "/connectors/sink/offsets")["offsets"])

    def resets(self):
        self.worker.ask("PUT", "/connectors/sink/stop")
        until("stopped", lambda: self.worker.ask("GET", "/connectors/sink/status")["connector"]["state"] == "STOPPED"
              and not self.worker.ask("GET", "/connectors/sink/status")["tasks"])
        self.sink.unlink()
        self.worker.ask("DELETE", "/connectors/sink/offsets")
        self.worker.ask("PUT", "/connectors/sink/resume")
        self.arrived(200)

    def deletes(self):
        for name in ["source", "sink"]:
            self.worker.ask("DELETE", f"/connectors/{name}")
        until("no connectors", lambda: self.worker.ask("GET", "/connectors") == [])

    def run(self):
        check = self.context.check
        try:
            check("a distributed worker starts and makes its topics", self.starts)
            check("FileStream source to topic to sink, with a topic that Connect makes", self.copies)
            check("the topics of the connector", self.topic_settings)
            check("pause and resume", self.pauses)
            check("a restarted worker goes on", self.goes_on, self.worker.stop)
            check("offsets of source and sink", self.offsets)
            check("a killed worker goes on", self.goes_on, self.worker.kill)
            check("stopping, resetting offsets of a sink", self.resets)
            check("deleting", self.deletes)
        finally:
            self.worker.kill()


def connect(context):
    FileConnectors(context).run()


MIRROR = """\
clusters=one,two
one.bootstrap.servers={one}
two.bootstrap.servers={two}
one->two.enabled=true
one->two.topics=mirror-.*
one->two.groups=mirror-.*
one->two.sync.group.offsets.enabled=true
two->one.enabled=false
replication.factor=1
checkpoints.topic.replication.factor=1
heartbeats.topic.replication.factor=1
offset-syncs.topic.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
config.storage.replication.factor=1
refresh.topics.interval.seconds=2
refresh.groups.interval.seconds=2
sync.topic.configs.interval.seconds=2
emit.checkpoints.interval.seconds=1
sync.group.offsets.interval.seconds=1
emit.heartbeats.interval.seconds=1
offset.lag.max=0
tasks.max=1
offset.flush.interval.ms=1000
"""


class Mirror:
    def __init__(self, context, binary):
        self.context = context
        self.two = Broker(binary, context.work / "two", partitions=4)
        file = context.work / "mirror.properties"
        file.write_text(MIRROR.format(one=context.bootstrap, two=self.two.bootstrap))
        self.maker = Java(context, "mirror", "org.apache.kafka.connect.mirror.MirrorMaker", file)

    def kcat(self, bootstrap, *words, stdin=None, check=True):
        return self.context.command([kcat(), "-b", bootstrap, "-q", *words], stdin=stdin, seconds=60, check=check)[1]

    def produce(self, topic, first, upto):
        self.kcat(self.context.bootstrap, "-P", "-t", topic, "-K:", stdin="".join(f"k{i}:v{i}\n" for i in range(first, upto)))

    def mirrored(self, topic, count):
        wanted = {f"k{i}:v{i}" for i in range(count)}

        def there():
            said = self.kcat(self.two.bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-f", "%k:%s\\n", check=False)
            return wanted <= set(said.split())

        until(f"{count} records in {topic}", there)

    def copies(self):
        self.produce("mirror-lines", 0, 200)
        self.kcat(self.context.bootstrap, "-G", "mirror-group", "-X", "auto.offset.reset=earliest", "-c", "200", "mirror-lines")
        self.maker.start()
        self.mirrored("one.mirror-lines", 200)

    def goes_on(self):
        self.maker.stop()
        self.produce("mirror-lines", 200, 300)
        self.maker.start()
        self.mirrored("one.mirror-lines", 300)

    def new_topics(self):
        self.produce("mirror-later", 0, 20)
        self.mirrored("one.mirror-later", 20)

    def heartbeats(self):
        until("heartbeats", lambda: "one" in self.kcat(self.two.bootstrap, "-C", "-t", "heartbeats", "-o", "beginning", "-e", check=False))

    def group_offsets(self):
        """The group's offsets on the second cluster: a consumer of the group there reads no record that it read here."""
        def translated():
            said = self.kcat(self.two.bootstrap, "-C", "-t", "one.checkpoints.internal", "-o", "beginning", "-e", "-f", "%k\\n", check=False)
            return "mirror-group" in said

        until("a checkpoint of the group", translated)

    def run(self):
        check = self.context.check
        try:
            self.two.start()
            check("records of one cluster come to the other", self.copies)
            check("heartbeats", self.heartbeats)
            check("checkpoints of groups", self.group_offsets)
            check("topics made later", self.new_topics)
            check("a restarted MirrorMaker goes on", self.goes_on)
        finally:
            self.maker.kill()
            self.two.kill()


def mirror(context):
    Mirror(context, ROOT / "target" / "debug" / "headrace").run()


class MariaDb:
    """A private MariaDB (scripts/servers.sh mariadb) with what Debezium needs."""

    def __init__(self, directory):
        self.directory, self.port, self.process = directory, free_port(), None
        self.socket = directory / "s"

    def start(self):
        self.directory.mkdir()
        user = "--user=root"
        subprocess.run([SERVERS / "mariadb-install-db", user, f"--datadir={self.directory}/data", "--auth-root-authentication-method=normal",
                        "--skip-test-db", "--skip-name-resolve"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process = subprocess.Popen(
            [SERVERS / "mariadbd", user, f"--datadir={self.directory}/data", f"--socket={self.socket}", f"--port={self.port}",
             "--bind-address=127.0.0.1", "--skip-name-resolve", "--server-id=1", f"--log-bin={self.directory}/data/binlog",
             "--binlog-format=ROW", "--binlog-row-image=FULL", "--gtid-strict-mode=ON", "--innodb-buffer-pool-size=64M"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("MariaDB answers", lambda: self.sql("select 1", check=False))
        self.sql("create user capture@'127.0.0.1' identified by 'capture'; grant all on *.* to capture@'127.0.0.1'")

    def sql(self, text, check=True):
        done = subprocess.run([SERVERS / "mariadb", "--no-defaults", "-uroot", f"--socket={self.socket}", "-e", text], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if check and done.returncode != 0:
            raise AssertionError(done.stdout)
        return done.returncode == 0

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Capture:
    def __init__(self, context):
        self.context = context
        self.database = MariaDb(context.work / "mariadb")
        self.worker = Worker(context, "json.JsonConverter", f"plugin.path={maven('debezium').split('/interop.jar')[0]}")

    def rows(self):
        """The last state of each row, as the topic tells it."""
        said = self.context.command([kcat(), "-b", self.context.bootstrap, "-q", "-C", "-t", "shop.shop.orders", "-o", "beginning", "-e",
                                     "-f", "%k|%s\\n"], seconds=60)[1]
        state = {}
        for line in said.splitlines():
            key, _, value = line.partition("|")
            if not key.startswith("{"):
                continue
            after = json.loads(value)["after"] if value else None
            state[json.loads(key)["id"]] = after and after["note"]
        return {key: note for key, note in state.items() if note is not None}

    def snapshot(self):
        self.database.start()
        self.database.sql("create database shop; create table shop.orders (id int primary key, note varchar(40)); "
                          + "".join(f"insert into shop.orders values ({i}, 'note {i}');" for i in range(50)))
        self.worker.start()
        self.worker.ready()
        self.worker.ask("POST", "/connectors", {"name": "shop", "config": {
            "connector.class": "io.debezium.connector.mariadb.MariaDbConnector", "tasks.max": "1", "database.hostname": "127.0.0.1",
            "database.port": str(self.database.port), "database.user": "capture", "database.password": "capture", "database.server.id": "77",
            "topic.prefix": "shop", "database.include.list": "shop", "table.include.list": "shop.orders", "database.ssl.mode": "disable",
            "schema.history.internal.kafka.bootstrap.servers": self.context.bootstrap,
            "schema.history.internal.kafka.topic": "schema-history", "snapshot.mode": "initial",
            "topic.creation.default.replication.factor": "1", "topic.creation.default.partitions": "1"}})
        self.worker.running("shop")
        until("50 rows", lambda: self.rows() == {i: f"note {i}" for i in range(50)})

    def changes(self):
        self.database.sql("insert into shop.orders values (50, 'new'); update shop.orders set note = 'changed' where id = 1; "
                          "delete from shop.orders where id = 2")
        wanted = {i: f"note {i}" for i in range(50)} | {50: "new", 1: "changed"}
        del wanted[2]
        until("the changes", lambda: self.rows() == wanted)

    def goes_on(self):
        self.worker.stop()
        self.database.sql("insert into shop.orders values (51, 'while it was away')")
        self.worker.start()
        self.worker.ready()
        self.worker.running("shop")
        until("the row", lambda: self.rows().get(51) == "while it was away")

    def run(self):
        check = self.context.check
        try:
            check("the snapshot of a table", self.snapshot)
            check("insert, update and delete", self.changes)
            check("a restarted worker reads its schema history and goes on", self.goes_on)
        finally:
            self.worker.kill()
            self.database.kill()


def debezium(context):
    Capture(context).run()


def prepare_debezium():
    if not (SERVERS / "mariadbd").exists():
        raise NotRun("MariaDB is missing: run 'scripts/servers.sh mariadb'")
    kcat()
    maven("ecosystem")
    maven("debezium")


def word_count(context):
    folder = Path(context.work) / "streams"
    folder.mkdir()
    command = ["java", *JAVA_OPTIONS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", maven("ecosystem"), "WordCount",
               context.bootstrap, folder]
    context.program(command, seconds=600)
