import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.StringDeserializer;

/** The Java producer, idempotent by default: Producing BOOTSTRAP [CHECK]. */
public final class Producing {
    private static final int RECORDS = 2_000;

    private final Checks checks;
    private final Admin admin;

    private Producing(String[] arguments) {
        this.checks = new Checks(arguments);
        this.admin = Admin.create(checks.properties());
    }

    public static void main(String[] arguments) {
        Producing self = new Producing(arguments);
        Checks checks = self.checks;
        checks.check("idempotent sends are acknowledged in order", () -> self.inOrder("produce-idempotent"));
        checks.check("sends without idempotence and with one request in flight", () -> self.inOrder("produce-plain",
                "enable.idempotence", "false", "max.in.flight.requests.per.connection", "1"));
        checks.check("acks=1", () -> self.inOrder("produce-acks1", "acks", "1", "enable.idempotence", "false"));
        checks.check("acks=0 gives no offsets and loses nothing", self::withoutAcks);
        checks.check("many small batches in flight on four partitions", self::manyBatches);
        checks.check("a producer goes on from a second one's batches", self::twoProducers);
        checks.check("auto-creation by the first record, with the default number of partitions", self::autoCreation);
        checks.check("an invalid topic name is refused", () -> self.refusedTopic("no/such:topic"));
        checks.check("a record above max.message.bytes is refused", self::tooLarge);
        checks.check("batches above max.message.bytes are split", self::split);
        checks.check("a compacted topic refuses a record without a key", self::withoutKey);
        checks.check("LogAppendTime is told to the producer and the consumer", self::logAppendTime);
        checks.check("a timestamp beyond message.timestamp.after.max.ms is refused", self::timestampTooLate);
        checks.check("compression.type of the topic wins", self::recompression);
        checks.check("null values, empty keys, many headers", self::shapes);
        checks.end();
    }

    private List<RecordMetadata> send(String topic, int partitions, int records, String... settings) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = checks.producer(settings)) {
            for (int i = 0; i < records; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, i % partitions, "k-" + i, "v-" + i)));
            }
        }
        List<RecordMetadata> answers = new ArrayList<>();
        for (Future<RecordMetadata> answer : sent) {
            answers.add(Checks.get(answer));
        }
        return answers;
    }

    private List<ConsumerRecord<String, String>> read(String topic, int partition, int count) {
        var settings = checks.properties("enable.auto.commit", "false");
        List<ConsumerRecord<String, String>> got = new ArrayList<>();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            TopicPartition from = new TopicPartition(topic, partition);
            consumer.assign(List.of(from));
            consumer.seekToBeginning(List.of(from));
            for (int idle = 0; got.size() < count && idle < 30; idle++) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
                    got.add(record);
                    idle = -1;
                }
            }
            Checks.same("the end of " + from, consumer.endOffsets(List.of(from)).get(from), (long) count);
        }
        Checks.same("records of " + topic, got.size(), count);
        return got;
    }

    private void inOrder(String topic, String... settings) throws Exception {
        checks.topic(admin, topic, 1);
        List<RecordMetadata> answers = send(topic, 1, RECORDS, settings);
        for (int i = 0; i < RECORDS; i++) {
            Checks.same("offset of record " + i, answers.get(i).offset(), (long) i);
        }
        List<ConsumerRecord<String, String>> got = read(topic, 0, RECORDS);
        for (int i = 0; i < RECORDS; i++) {
            Checks.same("value", got.get(i).value(), "v-" + i);
            Checks.same("offset", got.get(i).offset(), (long) i);
        }
    }

    private void withoutAcks() throws Exception {
        checks.topic(admin, "produce-acks0", 1);
        for (RecordMetadata answer : send("produce-acks0", 1, RECORDS, "acks", "0", "enable.idempotence", "false")) {
            Checks.expect("no offset with acks=0", !answer.hasOffset());
        }
        read("produce-acks0", 0, RECORDS);
    }

    private void manyBatches() throws Exception {
        checks.topic(admin, "produce-batches", 4);
        send("produce-batches", 4, 8 * RECORDS, "batch.size", "200", "linger.ms", "0");
        for (int partition = 0; partition < 4; partition++) {
            var got = read("produce-batches", partition, 2 * RECORDS);
            for (int i = 0; i < got.size(); i++) {
                Checks.same("order in partition " + partition, got.get(i).value(), "v-" + (4 * i + partition));
            }
        }
    }

    private void twoProducers() throws Exception {
        checks.topic(admin, "produce-two", 1);
        send("produce-two", 1, 100);
        List<RecordMetadata> answers = send("produce-two", 1, 100);
        Checks.same("the first offset of the second", answers.get(0).offset(), 100L);
        read("produce-two", 0, 200);
    }

    private void autoCreation() throws Exception {
        try (var producer = checks.producer()) {
            Checks.get(producer.send(new ProducerRecord<>("produce-made-by-use", "key", "value")));
            Checks.same("partitions", producer.partitionsFor("produce-made-by-use").size(), 4);
        }
    }

    private void refusedTopic(String name) throws Exception {
        try (var producer = checks.producer("max.block.ms", "10000")) {
            Checks.refused(InvalidTopicException.class, () -> producer.send(new ProducerRecord<>(name, "key", "value")));
        }
    }

    private void tooLarge() throws Exception {
        checks.topic(admin, "produce-large", 1, "max.message.bytes", "100000");
        try (var producer = checks.producer("max.request.size", "10000000")) {
            String large = String.join("", Collections.nCopies(200_000, "x"));
            Checks.refused(RecordTooLargeException.class, () -> producer.send(new ProducerRecord<>("produce-large", 0, "k", large)));
            Checks.same("the next record", Checks.get(producer.send(new ProducerRecord<>("produce-large", 0, "k", "small"))).offset(), 0L);
        }
    }

    private void split() throws Exception {
        checks.topic(admin, "produce-split", 1, "max.message.bytes", "20000");
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        String value = String.join("", Collections.nCopies(1_000, "x"));
        try (var producer = checks.producer("batch.size", "200000", "linger.ms", "500")) {
            for (int i = 0; i < 150; i++) {
                sent.add(producer.send(new ProducerRecord<>("produce-split", 0, "k-" + i, value)));
            }
        }
        for (int i = 0; i < sent.size(); i++) {
            Checks.same("offset", Checks.get(sent.get(i)).offset(), (long) i);
        }
        read("produce-split", 0, 150);
    }

    private void withoutKey() throws Exception {
        checks.topic(admin, "produce-compacted", 1, "cleanup.policy", "compact");
        try (var producer = checks.producer()) {
            Checks.refused(org.apache.kafka.common.InvalidRecordException.class,
                    () -> producer.send(new ProducerRecord<>("produce-compacted", 0, null, "value")));
            Checks.get(producer.send(new ProducerRecord<>("produce-compacted", 0, "key", "value")));
        }
    }

    private void logAppendTime() throws Exception {
        checks.topic(admin, "produce-append-time", 1, "message.timestamp.type", "LogAppendTime");
        try (var producer = checks.producer("compression.type", "gzip")) {
            long before = System.currentTimeMillis();
            RecordMetadata answer = Checks.get(producer.send(new ProducerRecord<>("produce-append-time", 0, 1_000L, "key", "value")));
            Checks.expect("the broker's time, got " + answer.timestamp(), answer.timestamp() >= before - 5_000);
            ConsumerRecord<String, String> record = read("produce-append-time", 0, 1).get(0);
            Checks.same("the type", record.timestampType(), TimestampType.LOG_APPEND_TIME);
            Checks.same("the time", record.timestamp(), answer.timestamp());
        }
    }

    private void timestampTooLate() throws Exception {
        checks.topic(admin, "produce-late", 1);
        try (var producer = checks.producer()) {
            long late = System.currentTimeMillis() + Duration.ofDays(2).toMillis();
            Checks.refused(InvalidTimestampException.class,
                    () -> producer.send(new ProducerRecord<>("produce-late", 0, late, "key", "value")));
        }
    }

    private void recompression() throws Exception {
        checks.topic(admin, "produce-zstd", 1, "compression.type", "zstd");
        send("produce-zstd", 1, RECORDS, "compression.type", "lz4");
        var got = read("produce-zstd", 0, RECORDS);
        for (int i = 0; i < RECORDS; i++) {
            Checks.same("value", got.get(i).value(), "v-" + i);
        }
    }

    private void shapes() throws Exception {
        checks.topic(admin, "produce-shapes", 1);
        AtomicInteger told = new AtomicInteger();
        try (var producer = checks.producer()) {
            producer.send(new ProducerRecord<>("produce-shapes", 0, "tombstone", null), (answer, failure) -> told.incrementAndGet());
            producer.send(new ProducerRecord<>("produce-shapes", 0, "", ""), (answer, failure) -> told.incrementAndGet());
            var many = new ProducerRecord<>("produce-shapes", 0, "headers", "value");
            for (int i = 0; i < 100; i++) {
                many.headers().add("h-" + i, i % 2 == 0 ? null : new byte[i]);
            }
            producer.send(many, (answer, failure) -> told.incrementAndGet());
        }
        Checks.same("callbacks", told.get(), 3);
        var got = read("produce-shapes", 0, 3);
        Checks.same("null value", got.get(0).value(), null);
        Checks.same("empty key", got.get(1).key(), "");
        Checks.same("headers", got.get(2).headers().toArray().length, 100);
        Checks.same("null header", got.get(2).headers().lastHeader("h-2").value(), null);
        Checks.same("header", got.get(2).headers().lastHeader("h-99").value().length, 99);
    }
}
