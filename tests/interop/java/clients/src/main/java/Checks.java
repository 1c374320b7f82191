import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** What the checks share: a line per check (`ok NAME` or `FAILED NAME :: why`), the wanted failures, topics to work on. */
final class Checks {
    /** A check that waits longer has failed. */
    static final long SECONDS_MAX = 60;

    /** The timestamp of record 0 of `fill`: not long ago, since records older than retention.ms are removed. */
    static final long FIRST_TIMESTAMP = System.currentTimeMillis() - 3_600_000;

    interface Action {
        void run() throws Exception;
    }

    final String bootstrap;
    private final String only;
    private boolean failed;

    /** `only`: run the checks whose name contains this; null for all. */
    Checks(String[] arguments) {
        this.bootstrap = arguments[0];
        this.only = arguments.length > 1 ? arguments[1] : null;
    }

    void check(String name, Action action) {
        if (only != null && !name.contains(only)) {
            return;
        }
        try {
            action.run();
            System.out.println("ok " + name);
        } catch (Throwable failure) {
            failed = true;
            Throwable cause = failure instanceof ExecutionException ? failure.getCause() : failure;
            System.out.println("FAILED " + name + " :: " + String.valueOf(cause).replace('\n', ' '));
            cause.printStackTrace(System.out);
        }
    }

    /** Ends the program: clients that hang are not waited for. */
    void end() {
        System.out.flush();
        Runtime.getRuntime().halt(failed ? 1 : 0);
    }

    Properties properties(String... more) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < more.length; i += 2) {
            properties.put(more[i], more[i + 1]);
        }
        return properties;
    }

    /** Makes a topic and waits until it has leaders. */
    void topic(Admin admin, String name, int partitions, String... settings) throws Exception {
        NewTopic topic = new NewTopic(name, partitions, (short) 1);
        if (settings.length > 0) {
            Map<String, String> configs = new java.util.HashMap<>();
            for (int i = 0; i < settings.length; i += 2) {
                configs.put(settings[i], settings[i + 1]);
            }
            topic.configs(configs);
        }
        get(admin.createTopics(List.of(topic)).all());
    }

    KafkaProducer<String, String> producer(String... more) {
        return new KafkaProducer<>(properties(more), new StringSerializer(), new StringSerializer());
    }

    /** Writes records `from` .. `upto` (key k-i, value v-i), spread over the partitions in turn. */
    void fill(String topic, int partitions, int from, int upto) throws Exception {
        try (var producer = producer()) {
            for (int i = from; i < upto; i++) {
                producer.send(new ProducerRecord<>(topic, i % partitions, FIRST_TIMESTAMP + i, "k-" + i, "v-" + i));
            }
            producer.flush();
        }
    }

    static <T> T get(Future<T> future) throws Exception {
        return future.get(SECONDS_MAX, TimeUnit.SECONDS);
    }

    static void expect(String what, boolean holds) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }

    static void same(String what, Object got, Object wanted) {
        if (!Objects.deepEquals(got, wanted)) {
            throw new IllegalStateException(what + ": got " + text(got) + ", wanted " + text(wanted));
        }
    }

    private static String text(Object value) {
        return value instanceof Object[] array ? Arrays.toString(array) : String.valueOf(value);
    }

    /** The call must fail with this class. */
    static void refused(Class<? extends Throwable> wanted, Callable<?> call) throws Exception {
        Object got;
        try {
            got = call.call();
            if (got instanceof Future<?> future) {
                got = get(future);
            }
        } catch (Throwable failure) {
            Throwable cause = failure instanceof ExecutionException ? failure.getCause() : failure;
            if (wanted.isInstance(cause)) {
                return;
            }
            throw new IllegalStateException("wanted " + wanted.getSimpleName() + ", got " + cause, cause);
        }
        throw new IllegalStateException("wanted " + wanted.getSimpleName() + ", got " + got);
    }

    /** Waits for a condition, looked at ten times a second. */
    static void until(String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + Duration.ofSeconds(SECONDS_MAX).toNanos();
        while (!condition.call()) {
            expect("not within " + SECONDS_MAX + " s: " + what, System.nanoTime() < end);
            Thread.sleep(100);
        }
    }
}
