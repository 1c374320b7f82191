import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.OffsetMetadataTooLarge;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** The Java consumer: Consuming BOOTSTRAP classic|consumer [CHECK]: the same checks with either group protocol. */
public final class Consuming {
    private static final int RECORDS = 1_000;

    private final Checks checks;
    private final Admin admin;
    private final boolean classic;
    private final String prefix;

    private Consuming(String bootstrap, String protocol, String only) {
        this.checks = new Checks(only == null ? new String[] {bootstrap} : new String[] {bootstrap, only});
        this.admin = Admin.create(checks.properties());
        this.classic = protocol.equals("classic");
        // its own names, so that the checks may be run again on the same broker
        this.prefix = protocol + "-" + Long.toString(System.currentTimeMillis(), 36) + "-";
    }

    public static void main(String[] arguments) {
        Consuming self = new Consuming(arguments[0], arguments[1], arguments.length > 2 ? arguments[2] : null);
        Checks checks = self.checks;
        checks.check("a group reads everything and goes on from its commit", self::readsAndGoesOn);
        checks.check("asynchronous and automatic commits", self::commits);
        checks.check("three members share the partitions, one leaves, one is killed", self::sharing);
        checks.check("assign, seek, position, pause, resume", self::seeking);
        checks.check("beginning, end, times and lag", self::positions);
        checks.check("an offset out of range", self::outOfRange);
        checks.check("a pattern finds topics made later", self::pattern);
        checks.check("new partitions are found", self::growth);
        checks.check("a topic made after the subscription", self::lateTopic);
        checks.check("commits of a lone consumer without a group's members", self::loneCommits);
        checks.check("metadata of a commit, and too much of it", self::commitMetadata);
        checks.check("a static member comes back to its partitions", self::staticMember);
        checks.check("a second static member of the same name", self::staticTwin);
        checks.check("a member that polls too late loses its place", self::late);
        checks.check("wakeup and close", self::wakeup);
        checks.check("read_committed reads what is not in a transaction", self::readCommitted);
        checks.check("a large record in small fetches", self::largeRecord);
        if (self.classic) {
            checks.check("cooperative rebalancing moves only what must move", self::cooperative);
            checks.check("range, round robin, sticky", self::assignors);
        } else {
            checks.check("the server's assignors uniform and range", self::remoteAssignors);
            checks.check("a regular expression that the broker reads", self::serverPattern);
            checks.check("a regular expression that is none", self::badServerPattern);
            checks.check("a group moves from the classic protocol and back", self::migration);
        }
        checks.end();
    }

    private KafkaConsumer<String, String> consumer(String group, String... more) {
        Properties properties = checks.properties("group.id", prefix + group, "auto.offset.reset", "earliest",
                "enable.auto.commit", "false", "fetch.max.wait.ms", "100", "metadata.max.age.ms", "1000",
                "group.protocol", classic ? "classic" : "consumer");
        if (classic) {
            properties.put("session.timeout.ms", "6000");
            properties.put("heartbeat.interval.ms", "500");
        }
        for (int i = 0; i < more.length; i += 2) {
            properties.put(more[i], more[i + 1]);
        }
        return new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
    }

    private String topic(String name, int partitions, String... settings) throws Exception {
        checks.topic(admin, prefix + name, partitions, settings);
        return prefix + name;
    }

    /** Polls until `count` records came; fails after 60 s. */
    private static List<ConsumerRecord<String, String>> take(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> got = new ArrayList<>();
        long end = System.nanoTime() + Duration.ofSeconds(Checks.SECONDS_MAX).toNanos();
        while (got.size() < count) {
            consumer.poll(Duration.ofMillis(200)).forEach(got::add);
            Checks.expect("only " + got.size() + " of " + count + " records within the time", System.nanoTime() < end);
        }
        Checks.same("records", got.size(), count);
        return got;
    }

    private void readsAndGoesOn() throws Exception {
        String topic = topic("basic", 3);
        checks.fill(topic, 3, 0, RECORDS);
        try (var consumer = consumer("basic")) {
            consumer.subscribe(List.of(topic));
            take(consumer, RECORDS);
            consumer.commitSync();
            Checks.same("the group", consumer.groupMetadata().groupId(), prefix + "basic");
            Checks.expect("a member id", !consumer.groupMetadata().memberId().isEmpty());
        }
        checks.fill(topic, 3, RECORDS, RECORDS + 300);
        try (var consumer = consumer("basic")) {
            consumer.subscribe(List.of(topic));
            Set<String> values = new HashSet<>();
            take(consumer, 300).forEach(record -> values.add(record.value()));
            for (int i = RECORDS; i < RECORDS + 300; i++) {
                Checks.expect("record " + i, values.contains("v-" + i));
            }
        }
    }

    private void commits() throws Exception {
        String topic = topic("commits", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        checks.fill(topic, 1, 0, 100);
        try (var consumer = consumer("commits")) {
            consumer.subscribe(List.of(topic));
            take(consumer, 100);
            AtomicInteger told = new AtomicInteger();
            consumer.commitAsync(Map.of(partition, new OffsetAndMetadata(40)), (offsets, failure) -> told.set(failure == null ? 1 : -1));
            Checks.until("the commit is told", () -> {
                consumer.poll(Duration.ofMillis(50));
                return told.get() != 0;
            });
            Checks.same("no failure", told.get(), 1);
            Checks.same("committed", consumer.committed(Set.of(partition)).get(partition).offset(), 40L);
        }
        try (var consumer = consumer("commits", "enable.auto.commit", "true", "auto.commit.interval.ms", "100")) {
            consumer.subscribe(List.of(topic));
            take(consumer, 60);
            Checks.until("an automatic commit", () -> {
                consumer.poll(Duration.ofMillis(100));
                return consumer.committed(Set.of(partition)).get(partition).offset() == 100L;
            });
        }
    }

    /** A member in a thread of its own. */
    private static final class Member {
        final KafkaConsumer<String, String> consumer;
        final AtomicBoolean stop = new AtomicBoolean();
        final Map<TopicPartition, Boolean> owned = new ConcurrentHashMap<>();
        final AtomicInteger revoked = new AtomicInteger();
        final Set<String> seen;
        final Thread thread;
        volatile Throwable failure;

        Member(KafkaConsumer<String, String> consumer, List<String> topics, Set<String> seen, boolean close) {
            this.consumer = consumer;
            this.seen = seen;
            consumer.subscribe(topics, new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    revoked.addAndGet(partitions.size());
                    partitions.forEach(owned::remove);
                }

                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    partitions.forEach(partition -> owned.put(partition, true));
                }

                @Override
                public void onPartitionsLost(Collection<TopicPartition> partitions) {
                    partitions.forEach(owned::remove);
                }
            });
            this.thread = new Thread(() -> {
                try {
                    while (!stop.get()) {
                        consumer.poll(Duration.ofMillis(100)).forEach(record -> seen.add(record.value()));
                    }
                    if (close) {
                        consumer.close();
                    }
                } catch (Throwable cause) {
                    failure = cause;
                }
            });
            thread.start();
        }

        void end() throws Exception {
            stop.set(true);
            thread.join(30_000);
            if (failure != null) {
                throw new IllegalStateException("a member failed", failure);
            }
        }
    }

    private static Callable<Boolean> spread(List<Member> members, int partitions) {
        return () -> {
            Set<TopicPartition> all = new HashSet<>();
            int sum = 0;
            int least = Integer.MAX_VALUE;
            for (Member member : members) {
                all.addAll(member.owned.keySet());
                sum += member.owned.size();
                least = Math.min(least, member.owned.size());
            }
            return all.size() == partitions && sum == partitions && least >= partitions / members.size();
        };
    }

    private void sharing() throws Exception {
        String topic = topic("sharing", 6);
        Set<String> seen = ConcurrentHashMap.newKeySet();
        List<Member> members = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            members.add(new Member(consumer("sharing"), List.of(topic), seen, i != 1));
        }
        Checks.until("two partitions each", spread(members, 6));
        checks.fill(topic, 6, 0, 600);
        Checks.until("600 records", () -> seen.size() == 600);
        members.remove(0).end();
        Checks.until("three partitions each", spread(members, 6));
        // stops without leaving: the group must notice by its session
        Member dead = members.remove(0);
        dead.stop.set(true);
        dead.thread.join(30_000);
        if (classic) {
            // its heartbeats go on in the background until it is closed; closing without leaving is not offered, so leave
            dead.consumer.close();
        } else {
            dead.consumer.close(Duration.ZERO);
        }
        Checks.until("all six", spread(members, 6));
        checks.fill(topic, 6, 600, 900);
        Checks.until("900 records", () -> seen.size() == 900);
        members.get(0).end();
    }

    private void seeking() throws Exception {
        String topic = topic("seeking", 2);
        checks.fill(topic, 2, 0, 200);
        TopicPartition first = new TopicPartition(topic, 0);
        TopicPartition second = new TopicPartition(topic, 1);
        try (var consumer = consumer("seeking")) {
            consumer.assign(List.of(first, second));
            consumer.seek(first, 90);
            consumer.seekToEnd(List.of(second));
            Checks.same("position at the end", consumer.position(second), 100L);
            Checks.same("the records after the seek", take(consumer, 10).get(0).offset(), 90L);
            Checks.same("position", consumer.position(first), 100L);
            consumer.seekToBeginning(List.of(first, second));
            consumer.pause(List.of(first));
            for (ConsumerRecord<String, String> record : take(consumer, 100)) {
                Checks.same("only the one that is not paused", record.partition(), 1);
            }
            consumer.resume(List.of(first));
            take(consumer, 100);
            Checks.same("partitions", consumer.partitionsFor(topic).size(), 2);
            Checks.expect("the topic is listed", consumer.listTopics().containsKey(topic));
        }
    }

    private void positions() throws Exception {
        String topic = topic("positions", 1);
        checks.fill(topic, 1, 0, 500);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (var consumer = consumer("positions")) {
            Checks.same("beginning", consumer.beginningOffsets(List.of(partition)).get(partition), 0L);
            Checks.same("end", consumer.endOffsets(List.of(partition)).get(partition), 500L);
            var found = consumer.offsetsForTimes(Map.of(partition, Checks.FIRST_TIMESTAMP + 123)).get(partition);
            Checks.same("offset of a time", found.offset(), 123L);
            Checks.same("time", found.timestamp(), Checks.FIRST_TIMESTAMP + 123);
            Checks.same("no record so late", consumer.offsetsForTimes(Map.of(partition, Checks.FIRST_TIMESTAMP + 86_400_000)).get(partition), null);
            consumer.assign(List.of(partition));
            consumer.seek(partition, 100);
            consumer.poll(Duration.ofSeconds(5));
            Checks.until("a lag", () -> {
                consumer.poll(Duration.ofMillis(100));
                return consumer.currentLag(partition).isPresent();
            });
        }
    }

    private void outOfRange() throws Exception {
        String topic = topic("range", 1);
        checks.fill(topic, 1, 0, 50);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (var consumer = consumer("range", "auto.offset.reset", "none")) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 1_000);
            Checks.refused(OffsetOutOfRangeException.class, () -> {
                for (int i = 0; i < 50; i++) {
                    consumer.poll(Duration.ofMillis(200));
                }
                return null;
            });
        }
        try (var consumer = consumer("range")) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 1_000);
            Checks.same("reset to the start", take(consumer, 50).get(0).offset(), 0L);
        }
    }

    private void pattern() throws Exception {
        String one = topic("pattern-one", 1);
        checks.fill(one, 1, 0, 10);
        try (var consumer = consumer("pattern")) {
            consumer.subscribe(Pattern.compile(prefix + "pattern-.*"));
            take(consumer, 10);
            consumer.commitSync();
            String two = topic("pattern-two", 1);
            checks.fill(two, 1, 0, 10);
            Checks.same("the new topic's records", take(consumer, 10).get(0).topic(), two);
        }
    }

    private void growth() throws Exception {
        String topic = topic("growth", 1);
        checks.fill(topic, 1, 0, 10);
        try (var consumer = consumer("growth")) {
            consumer.subscribe(List.of(topic));
            take(consumer, 10);
            consumer.commitSync();
            Checks.get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all());
            checks.fill(topic, 3, 0, 9);
            take(consumer, 9);
            Checks.same("partitions", consumer.assignment().size(), 3);
        }
    }

    private void lateTopic() throws Exception {
        try (var consumer = consumer("late-topic", "allow.auto.create.topics", "false")) {
            consumer.subscribe(List.of(prefix + "late-topic"));
            consumer.poll(Duration.ofSeconds(2));
            String topic = topic("late-topic", 2);
            checks.fill(topic, 2, 0, 20);
            take(consumer, 20);
        }
    }

    private void loneCommits() throws Exception {
        String topic = topic("lone", 1);
        checks.fill(topic, 1, 0, 30);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (var consumer = consumer("lone")) {
            consumer.assign(List.of(partition));
            Checks.same("nothing committed", consumer.committed(Set.of(partition)).get(partition), null);
            take(consumer, 30);
            consumer.commitSync();
            Checks.same("committed", consumer.committed(Set.of(partition)).get(partition).offset(), 30L);
        }
        try (var consumer = consumer("lone")) {
            consumer.assign(List.of(partition));
            Checks.same("position", consumer.position(partition), 30L);
        }
    }

    private void commitMetadata() throws Exception {
        String topic = topic("metadata", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (var consumer = consumer("metadata")) {
            consumer.assign(List.of(partition));
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(7, "said by the consumer")));
            OffsetAndMetadata committed = consumer.committed(Set.of(partition)).get(partition);
            Checks.same("offset", committed.offset(), 7L);
            Checks.same("metadata", committed.metadata(), "said by the consumer");
            Checks.refused(OffsetMetadataTooLarge.class, () -> {
                consumer.commitSync(Map.of(partition, new OffsetAndMetadata(8, "x".repeat(5_000))));
                return null;
            });
        }
    }

    private void staticMember() throws Exception {
        String topic = topic("static", 4);
        Set<String> seen = ConcurrentHashMap.newKeySet();
        Member one = new Member(consumer("static", "group.instance.id", "one"), List.of(topic), seen, true);
        Member two = new Member(consumer("static", "group.instance.id", "two"), List.of(topic), seen, true);
        Checks.until("two each", spread(List.of(one, two), 4));
        Set<TopicPartition> before = new HashSet<>(one.owned.keySet());
        int revoked = two.revoked.get();
        one.end();
        Member again = new Member(consumer("static", "group.instance.id", "one"), List.of(topic), seen, true);
        Checks.until("two each again", spread(List.of(again, two), 4));
        Checks.same("the same partitions", again.owned.keySet(), before);
        Checks.same("the other kept its own", two.revoked.get(), revoked);
        again.end();
        two.end();
    }

    private void staticTwin() throws Exception {
        String topic = topic("twin", 2);
        Set<String> seen = ConcurrentHashMap.newKeySet();
        Member one = new Member(consumer("twin", "group.instance.id", "twin"), List.of(topic), seen, true);
        Checks.until("both", spread(List.of(one), 2));
        // classic: the younger fences the older; consumer: the younger is refused while the older lives
        if (classic) {
            Member two = new Member(consumer("twin", "group.instance.id", "twin"), List.of(topic), seen, true);
            Checks.until("the younger owns both", spread(List.of(two), 2));
            Checks.until("the older is told", () -> one.failure != null);
            Checks.expect("fenced, got " + one.failure, one.failure instanceof FencedInstanceIdException);
            two.end();
        } else {
            try (var two = consumer("twin", "group.instance.id", "twin")) {
                two.subscribe(List.of(topic));
                Checks.refused(UnreleasedInstanceIdException.class, () -> {
                    for (int i = 0; i < 50; i++) {
                        two.poll(Duration.ofMillis(200));
                    }
                    return null;
                });
            }
            one.end();
        }
    }

    private void late() throws Exception {
        String topic = topic("late", 1);
        checks.fill(topic, 1, 0, 10);
        try (var slow = consumer("late", "max.poll.interval.ms", "2000")) {
            slow.subscribe(List.of(topic));
            take(slow, 10);
            Thread.sleep(4_000);
            Checks.refused(CommitFailedException.class, () -> {
                slow.commitSync();
                return null;
            });
            // back in the group, it reads again what it could not commit
            take(slow, 10);
            slow.commitSync();
        }
    }

    private void wakeup() throws Exception {
        String topic = topic("wakeup", 1);
        var consumer = consumer("wakeup");
        consumer.subscribe(List.of(topic));
        consumer.poll(Duration.ofSeconds(2));
        Thread waker = new Thread(() -> {
            try {
                Thread.sleep(500);
            } catch (InterruptedException stopped) {
                return;
            }
            consumer.wakeup();
        });
        waker.start();
        Checks.refused(WakeupException.class, () -> consumer.poll(Duration.ofSeconds(30)));
        waker.join();
        long started = System.nanoTime();
        consumer.close();
        Checks.expect("closed at once", System.nanoTime() - started < Duration.ofSeconds(5).toNanos());
        Checks.until("the group is empty", () -> Checks.get(admin.describeConsumerGroups(List.of(prefix + "wakeup")).all())
                .get(prefix + "wakeup").members().isEmpty());
    }

    private void readCommitted() throws Exception {
        String topic = topic("committed", 1);
        checks.fill(topic, 1, 0, 100);
        try (var consumer = consumer("committed", "isolation.level", "read_committed")) {
            consumer.subscribe(List.of(topic));
            take(consumer, 100);
            TopicPartition partition = new TopicPartition(topic, 0);
            Checks.same("end", consumer.endOffsets(List.of(partition)).get(partition), 100L);
        }
    }

    private void largeRecord() throws Exception {
        String topic = topic("large", 1, "max.message.bytes", "8000000");
        try (var producer = checks.producer("max.request.size", "8000000")) {
            for (int i = 0; i < 3; i++) {
                Checks.get(producer.send(new org.apache.kafka.clients.producer.ProducerRecord<>(topic, 0, "k-" + i, "x".repeat(3_000_000))));
            }
        }
        try (var consumer = consumer("large", "fetch.max.bytes", "1000", "max.partition.fetch.bytes", "1000")) {
            consumer.subscribe(List.of(topic));
            for (ConsumerRecord<String, String> record : take(consumer, 3)) {
                Checks.same("length", record.value().length(), 3_000_000);
            }
        }
    }

    private void cooperative() throws Exception {
        String topic = topic("cooperative", 6);
        String assignor = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        Set<String> seen = ConcurrentHashMap.newKeySet();
        Member one = new Member(consumer("cooperative", "partition.assignment.strategy", assignor), List.of(topic), seen, true);
        Checks.until("all six", spread(List.of(one), 6));
        Member two = new Member(consumer("cooperative", "partition.assignment.strategy", assignor), List.of(topic), seen, true);
        Checks.until("three each", spread(List.of(one, two), 6));
        Checks.same("only three moved", one.revoked.get(), 3);
        checks.fill(topic, 6, 0, 60);
        Checks.until("60 records", () -> seen.size() == 60);
        one.end();
        Checks.until("all six again", spread(List.of(two), 6));
        two.end();
    }

    private void assignors() throws Exception {
        String topic = topic("assignors", 4);
        for (String name : List.of("Range", "RoundRobin", "Sticky")) {
            String assignor = "org.apache.kafka.clients.consumer." + name + "Assignor";
            Set<String> seen = ConcurrentHashMap.newKeySet();
            Member one = new Member(consumer("assignors-" + name, "partition.assignment.strategy", assignor), List.of(topic), seen, true);
            Member two = new Member(consumer("assignors-" + name, "partition.assignment.strategy", assignor), List.of(topic), seen, true);
            Checks.until("two each with " + name, spread(List.of(one, two), 4));
            one.end();
            two.end();
        }
    }

    private void remoteAssignors() throws Exception {
        String topic = topic("remote", 4);
        for (String name : List.of("uniform", "range")) {
            Set<String> seen = ConcurrentHashMap.newKeySet();
            Member one = new Member(consumer("remote-" + name, "group.remote.assignor", name), List.of(topic), seen, true);
            Member two = new Member(consumer("remote-" + name, "group.remote.assignor", name), List.of(topic), seen, true);
            Checks.until("two each with " + name, spread(List.of(one, two), 4));
            one.end();
            two.end();
        }
        try (var none = consumer("remote-none", "group.remote.assignor", "no-such-assignor")) {
            none.subscribe(List.of(topic));
            Checks.refused(org.apache.kafka.common.errors.UnsupportedAssignorException.class, () -> {
                for (int i = 0; i < 50; i++) {
                    none.poll(Duration.ofMillis(200));
                }
                return null;
            });
        }
    }

    private void serverPattern() throws Exception {
        String one = topic("re2-one", 1);
        checks.fill(one, 1, 0, 10);
        try (var consumer = consumer("re2")) {
            consumer.subscribe(new SubscriptionPattern(prefix + "re2-(one|two)"));
            take(consumer, 10);
            consumer.commitSync();
            String two = topic("re2-two", 1);
            topic("re2-three", 1);
            checks.fill(two, 1, 0, 10);
            Checks.same("the new topic's records", take(consumer, 10).get(0).topic(), two);
            Map<String, Integer> topics = new HashMap<>();
            consumer.assignment().forEach(partition -> topics.merge(partition.topic(), 1, Integer::sum));
            Checks.same("topics", topics.keySet(), Set.of(one, two));
        }
    }

    private void badServerPattern() throws Exception {
        try (var consumer = consumer("re2-bad")) {
            consumer.subscribe(new SubscriptionPattern("(unclosed"));
            Checks.refused(org.apache.kafka.common.errors.InvalidRegularExpression.class, () -> {
                for (int i = 0; i < 50; i++) {
                    consumer.poll(Duration.ofMillis(200));
                }
                return null;
            });
        }
    }

    private void migration() throws Exception {
        String topic = topic("migration", 2);
        checks.fill(topic, 2, 0, 20);
        Properties old = checks.properties("group.id", prefix + "migration", "auto.offset.reset", "earliest", "enable.auto.commit", "false");
        try (var consumer = new KafkaConsumer<>(old, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            take(consumer, 20);
            consumer.commitSync();
        }
        checks.fill(topic, 2, 20, 30);
        try (var consumer = consumer("migration")) {
            consumer.subscribe(List.of(topic));
            take(consumer, 10);
            consumer.commitSync();
        }
        checks.fill(topic, 2, 30, 40);
        try (var consumer = new KafkaConsumer<>(old, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            take(consumer, 10);
        }
    }
}
