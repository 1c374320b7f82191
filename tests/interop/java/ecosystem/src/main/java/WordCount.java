import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Kafka Streams, at least once: WordCount BOOTSTRAP FOLDER. Lines are split into words, the words are grouped (a repartition
 * topic) and counted (a state store with a changelog topic). The application is stopped and started again, then started
 * without its local state, which comes back from the changelog. A line per check.
 */
public final class WordCount {
    private static final List<String> WORDS = List.of("water", "stone", "wheel", "river", "mill", "gate", "weir");
    private static final int LINES = 700;
    private static final long SECONDS_MAX = 120;

    private final String bootstrap;
    private final Path folder;
    private boolean failed;

    private WordCount(String[] arguments) {
        this.bootstrap = arguments[0];
        this.folder = Path.of(arguments[1]);
    }

    interface Action {
        void run() throws Exception;
    }

    public static void main(String[] arguments) {
        WordCount self = new WordCount(arguments);
        self.check("words are counted", self::first);
        self.check("counting goes on after a restart", self::second);
        self.check("the state comes back from the changelog topic", self::third);
        self.check("the repartition and changelog topics are as Streams wants them", self::topics);
        System.out.flush();
        Runtime.getRuntime().halt(self.failed ? 1 : 0);
    }

    private void check(String name, Action action) {
        try {
            action.run();
            System.out.println("ok " + name);
        } catch (Throwable failure) {
            failed = true;
            System.out.println("FAILED " + name + " :: " + String.valueOf(failure).replace('\n', ' '));
            failure.printStackTrace(System.out);
        }
    }

    private KafkaStreams application() {
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, "word-count");
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, folder.resolve("state").toString());
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "200");
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, "2");
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        properties.put("auto.offset.reset", "earliest");
        properties.put("session.timeout.ms", "10000");
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream("lines", Consumed.with(Serdes.String(), Serdes.String()))
                .flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.with("words", Serdes.String(), Serdes.String()))
                .count(Materialized.as("counts"))
                .toStream()
                .to("counted", Produced.with(Serdes.String(), Serdes.Long()));
        return new KafkaStreams(builder.build(), properties);
    }

    /** Lines from .. upto: line i has the words i, i+1, i+2 of the list. */
    private void write(int from, int upto) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (int i = from; i < upto; i++) {
                String line = String.join(" ", word(i), word(i + 1), word(i + 2));
                producer.send(new ProducerRecord<>("lines", i % 3, null, line)).get(SECONDS_MAX, TimeUnit.SECONDS);
            }
        }
    }

    private static String word(int i) {
        return WORDS.get(i % WORDS.size());
    }

    private static Map<String, Long> wanted(int lines) {
        Map<String, Long> counts = new HashMap<>();
        for (int i = 0; i < lines; i++) {
            for (int k = 0; k < 3; k++) {
                counts.merge(word(i + k), 1L, Long::sum);
            }
        }
        return counts;
    }

    /** Runs the application until the last count of each word is the wanted one. */
    private void until(int lines) throws Exception {
        Map<String, Long> counts = new HashMap<>();
        KafkaStreams application = application();
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "group.id", "reader-" + lines, "auto.offset.reset", "earliest");
        try (var reader = new KafkaConsumer<>(settings, new StringDeserializer(), new LongDeserializer())) {
            reader.assign(List.of(new TopicPartition("counted", 0)));
            reader.seekToBeginning(reader.assignment());
            application.start();
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS_MAX);
            while (!counts.equals(wanted(lines))) {
                reader.poll(Duration.ofMillis(200)).forEach(record -> counts.put(record.key(), record.value()));
                if (System.nanoTime() > end) {
                    throw new IllegalStateException("got " + counts + ", wanted " + wanted(lines) + ", state " + application.state());
                }
            }
        } finally {
            application.close(Duration.ofSeconds(30));
        }
    }

    private void first() throws Exception {
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic("lines", 3, (short) 1), new NewTopic("counted", 1, (short) 1))).all().get(SECONDS_MAX, TimeUnit.SECONDS);
        }
        write(0, LINES);
        until(LINES);
    }

    private void second() throws Exception {
        write(LINES, LINES + 100);
        until(LINES + 100);
    }

    private void third() throws Exception {
        try (var paths = Files.walk(folder.resolve("state"))) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
        write(LINES + 100, LINES + 200);
        until(LINES + 200);
    }

    private void topics() throws Exception {
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            var names = admin.listTopics().names().get(SECONDS_MAX, TimeUnit.SECONDS);
            for (String name : List.of("word-count-words-repartition", "word-count-counts-changelog")) {
                if (!names.contains(name)) {
                    throw new IllegalStateException("no " + name + " in " + names);
                }
            }
        }
    }
}
