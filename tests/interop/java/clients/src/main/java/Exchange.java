import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client's part of the exchange: Exchange produce|continue|verify BOOTSTRAP.
 * Record i looks as in exchange/client.py; the producer is idempotent, as is the client's default.
 */
public final class Exchange {
    private static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    private static final int RECORDS = 500;
    private static final int FIRST_PART = 200;

    private final String bootstrap;

    private Exchange(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    public static void main(String[] arguments) throws Exception {
        Exchange client = new Exchange(arguments[1]);
        switch (arguments[0]) {
            case "produce" -> client.produce();
            case "continue" -> client.goOn();
            case "verify" -> client.verify();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] key(int i) {
        return bytes("key-" + i);
    }

    private static byte[] value(int i) {
        byte[] head = bytes("value-" + i + "-");
        int tail = i * 37 % 2000;
        byte[] all = Arrays.copyOf(head, head.length + tail);
        for (int k = 0; k < tail; k++) {
            all[head.length + k] = (byte) (i * k % 256);
        }
        return all;
    }

    private static long timestamp(int i) {
        return Long.parseLong(System.getenv("FIRST_TIMESTAMP_MS")) + i * 1000L;
    }

    private static void expect(String what, boolean holds) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }

    private static void compare(ConsumerRecord<byte[], byte[]> record, int i) {
        String where = record.topic() + " record " + i + ": ";
        expect(where + "offset " + record.offset(), record.offset() == i);
        expect(where + "key", Arrays.equals(record.key(), key(i)));
        Header[] headers = record.headers().toArray();
        if (record.topic().startsWith("kcat-")) {
            expect(where + "headers", headers.length == 1 && headers[0].key().equals("trace")
                    && Arrays.equals(headers[0].value(), bytes("kcat")));
            return;
        }
        expect(where + "value", Arrays.equals(record.value(), value(i)));
        expect(where + "timestamp " + record.timestamp(), record.timestamp() == timestamp(i));
        expect(where + "headers", headers.length == 2
                && headers[0].key().equals("trace") && Arrays.equals(headers[0].value(), bytes("" + i))
                && headers[1].key().equals("bytes")
                && Arrays.equals(headers[1].value(), new byte[] {0, (byte) 255, (byte) (i % 256)}));
    }

    private Properties properties() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        return properties;
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group) {
        Properties properties = properties();
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        properties.put("fetch.max.wait.ms", "50");
        if (group != null) {
            properties.put("group.id", group);
        }
        return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Reads exactly the records first .. first + count and compares them. */
    private static void take(KafkaConsumer<byte[], byte[]> consumer, int first, int count) {
        int i = first;
        int idle = 0;
        while (i < first + count) {
            var polled = consumer.poll(Duration.ofSeconds(1));
            idle = polled.isEmpty() ? idle + 1 : 0;
            expect("nothing came for 30 s; next wanted record " + i, idle < 30);
            for (ConsumerRecord<byte[], byte[]> record : polled) {
                if (i < first + count) {
                    compare(record, i);
                    i++;
                }
            }
        }
    }

    private void readWithGroup(String codec, int first, int count) {
        TopicPartition partition = new TopicPartition("java-" + codec, 0);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer("java-group-" + codec)) {
            consumer.subscribe(List.of(partition.topic()));
            take(consumer, first, count);
            consumer.commitSync(Map.of(partition,
                    new org.apache.kafka.clients.consumer.OffsetAndMetadata(first + count)));
        }
    }

    private void produce() throws Exception {
        try (Admin admin = Admin.create(properties())) {
            admin.createTopics(CODECS.stream().map(c -> new NewTopic("java-" + c, 1, (short) 1)).toList()).all().get();
        }
        for (String codec : CODECS) {
            Properties properties = properties();
            properties.put("compression.type", codec);
            properties.put("linger.ms", "20");
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
                for (int i = 0; i < RECORDS; i++) {
                    var record = new ProducerRecord<>("java-" + codec, 0, timestamp(i), key(i), value(i));
                    record.headers().add("trace", bytes("" + i));
                    record.headers().add("bytes", new byte[] {0, (byte) 255, (byte) (i % 256)});
                    sent.add(producer.send(record));
                }
            }
            for (int i = 0; i < RECORDS; i++) {
                expect("acknowledged offset of record " + i, sent.get(i).get().offset() == i);
            }
            readWithGroup(codec, 0, FIRST_PART);
        }
    }

    private void goOn() {
        for (String codec : CODECS) {
            readWithGroup(codec, FIRST_PART, RECORDS - FIRST_PART);
        }
    }

    private void verify() {
        for (String client : List.of("kcat", "python", "java")) {
            for (String codec : CODECS) {
                TopicPartition partition = new TopicPartition(client + "-" + codec, 0);
                try (KafkaConsumer<byte[], byte[]> consumer = consumer(null)) {
                    consumer.assign(List.of(partition));
                    consumer.seekToBeginning(List.of(partition));
                    take(consumer, 0, RECORDS);
                    expect("log end", consumer.endOffsets(List.of(partition)).get(partition) == RECORDS);
                }
            }
        }
    }
}
