import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Future;
import java.util.stream.Collectors;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Every call of the Java admin client but those about transactions, security, quotas and share groups: Administering BOOTSTRAP [CHECK]. */
public final class Administering {
    private final Checks checks;
    private final Admin admin;

    private Administering(String[] arguments) {
        this.checks = new Checks(arguments);
        this.admin = Admin.create(checks.properties());
    }

    public static void main(String[] arguments) {
        Administering self = new Administering(arguments);
        Checks checks = self.checks;
        checks.check("describeCluster", self::describeCluster);
        checks.check("createTopics: defaults, settings, what is answered", self::createTopics);
        checks.check("createTopics: validateOnly makes nothing", self::validateOnly);
        checks.check("createTopics: what is refused", self::createTopicsRefused);
        checks.check("createTopics: replicas named one by one", self::createTopicsAssigned);
        checks.check("listTopics", self::listTopics);
        checks.check("describeTopics by name and by id", self::describeTopics);
        checks.check("describeTopics of a topic with 2,000 partitions", self::describeManyPartitions);
        checks.check("deleteTopics by name and by id; a new one inherits nothing", self::deleteTopics);
        checks.check("createPartitions", self::createPartitions);
        checks.check("describeConfigs: sources, types, synonyms, documentation", self::describeConfigs);
        checks.check("describeConfigs of the broker", self::describeBrokerConfigs);
        checks.check("incrementalAlterConfigs: set, delete, append, subtract", self::incrementalAlterConfigs);
        checks.check("incrementalAlterConfigs: what is refused", self::alterConfigsRefused);
        checks.check("incrementalAlterConfigs of the broker", self::alterBrokerConfigs);
        checks.check("listConfigResources", self::listConfigResources);
        checks.check("listOffsets: earliest, latest, by time, greatest time", self::listOffsets);
        checks.check("deleteRecords", self::deleteRecords);
        checks.check("describeLogDirs, describeReplicaLogDirs", self::describeLogDirs);
        checks.check("electLeaders", self::electLeaders);
        checks.check("listPartitionReassignments", self::reassignments);
        checks.check("describeProducers", self::describeProducers);
        checks.check("listGroups with filters", self::listGroups);
        checks.check("describeConsumerGroups, describeClassicGroups", self::describeGroups);
        checks.check("listConsumerGroupOffsets", self::listGroupOffsets);
        checks.check("alterConsumerGroupOffsets", self::alterGroupOffsets);
        checks.check("deleteConsumerGroupOffsets", self::deleteGroupOffsets);
        checks.check("removeMembersFromConsumerGroup", self::removeMembers);
        checks.check("deleteConsumerGroups", self::deleteGroups);
        checks.check("describeFeatures", self::describeFeatures);
        checks.check("ACL calls tell that security is off", self::acls);
        checks.end();
    }

    private String topic(String name, int partitions, String... settings) throws Exception {
        checks.topic(admin, "admin-" + name, partitions, settings);
        return "admin-" + name;
    }

    private static ConfigResource resource(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private Config config(String topic) throws Exception {
        return Checks.get(admin.describeConfigs(List.of(resource(topic))).all()).get(resource(topic));
    }

    private void describeCluster() throws Exception {
        var cluster = admin.describeCluster();
        Checks.expect("a cluster id", !Checks.get(cluster.clusterId()).isEmpty());
        Checks.same("nodes", Checks.get(cluster.nodes()).size(), 1);
        var node = Checks.get(cluster.nodes()).iterator().next();
        Checks.same("where it is", node.host() + ":" + node.port(), checks.bootstrap);
        Checks.same("the controller", Checks.get(cluster.controller()).id(), node.id());
    }

    private void createTopics() throws Exception {
        var made = admin.createTopics(List.of(new NewTopic("admin-made", Optional.empty(), Optional.<Short>empty())
                .configs(Map.of("cleanup.policy", "compact"))));
        Checks.get(made.all());
        Checks.same("partitions by default", Checks.get(made.numPartitions("admin-made")), 4);
        Checks.same("replicas", Checks.get(made.replicationFactor("admin-made")), 1);
        Checks.expect("an id", !Checks.get(made.topicId("admin-made")).equals(Uuid.ZERO_UUID));
        Config config = Checks.get(made.config("admin-made"));
        Checks.same("the setting", config.get("cleanup.policy").value(), "compact");
        Checks.same("its source", config.get("cleanup.policy").source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        Checks.same("a default's source", config.get("retention.ms").source(), ConfigEntry.ConfigSource.DEFAULT_CONFIG);
    }

    private void validateOnly() throws Exception {
        Checks.get(admin.createTopics(List.of(new NewTopic("admin-validated", 2, (short) 1)), new CreateTopicsOptions().validateOnly(true)).all());
        Checks.expect("not made", !Checks.get(admin.listTopics().names()).contains("admin-validated"));
    }

    private Future<Void> create(String name, int partitions, int replicas, String... setting) {
        NewTopic topic = new NewTopic(name, partitions, (short) replicas);
        return admin.createTopics(List.of(setting.length == 0 ? topic : topic.configs(Map.of(setting[0], setting[1])))).all();
    }

    private void createTopicsRefused() throws Exception {
        topic("exists", 1);
        Checks.refused(TopicExistsException.class, () -> create("admin-exists", 1, 1));
        Checks.refused(InvalidPartitionsException.class, () -> create("admin-zero", 0, 1));
        Checks.refused(InvalidReplicationFactorException.class, () -> create("admin-replicas", 1, 5));
        Checks.refused(InvalidTopicException.class, () -> create("admin/slash", 1, 1));
        Checks.refused(InvalidConfigurationException.class, () -> create("admin-unknown", 1, 1, "no.such.setting", "1"));
        Checks.refused(InvalidConfigurationException.class, () -> create("admin-typed", 1, 1, "retention.ms", "soon"));
        Checks.refused(InvalidConfigurationException.class, () -> create("admin-small", 1, 1, "segment.bytes", "1000"));
        Checks.refused(InvalidConfigurationException.class, () -> create("admin-policy", 1, 1, "cleanup.policy", "burn"));
    }

    private void createTopicsAssigned() throws Exception {
        int node = Checks.get(admin.describeCluster().nodes()).iterator().next().id();
        Checks.get(admin.createTopics(List.of(new NewTopic("admin-assigned", Map.of(0, List.of(node), 1, List.of(node))))).all());
        Checks.same("partitions", describe("admin-assigned").partitions().size(), 2);
    }

    private void listTopics() throws Exception {
        topic("listed", 1);
        Set<String> names = Checks.get(admin.listTopics().names());
        Checks.expect("the topic", names.contains("admin-listed"));
        Checks.expect("no internal ones", names.stream().noneMatch(name -> name.startsWith("__consumer")));
        var all = Checks.get(admin.listTopics(new ListTopicsOptions().listInternal(true)).listings());
        all.stream().filter(listing -> listing.name().equals("__consumer_offsets"))
                .forEach(listing -> Checks.expect("marked as internal", listing.isInternal()));
    }

    private TopicDescription describe(String name) throws Exception {
        return Checks.get(admin.describeTopics(List.of(name)).allTopicNames()).get(name);
    }

    private void describeTopics() throws Exception {
        topic("described", 3);
        TopicDescription description = describe("admin-described");
        Checks.same("partitions", description.partitions().size(), 3);
        Checks.expect("leader, replicas, isr", description.partitions().stream().allMatch(partition -> partition.leader() != null
                && partition.replicas().size() == 1 && partition.isr().size() == 1));
        var byId = Checks.get(admin.describeTopics(TopicCollection.ofTopicIds(List.of(description.topicId()))).allTopicIds());
        Checks.same("by id", byId.get(description.topicId()).name(), "admin-described");
        Checks.refused(UnknownTopicOrPartitionException.class, () -> admin.describeTopics(List.of("admin-nothing")).allTopicNames());
        Uuid unknown = Uuid.randomUuid();
        Checks.refused(UnknownTopicIdException.class, () -> admin.describeTopics(TopicCollection.ofTopicIds(List.of(unknown))).allTopicIds());
        Checks.expect("describing makes nothing", !Checks.get(admin.listTopics().names()).contains("admin-nothing"));
    }

    private void describeManyPartitions() throws Exception {
        topic("wide", 2_000);
        Checks.until("known", () -> Checks.get(admin.listTopics().names()).contains("admin-wide"));
        TopicDescription description = describe("admin-wide");
        Checks.same("partitions", description.partitions().size(), 2_000);
        for (int i = 0; i < 2_000; i++) {
            Checks.same("in order", description.partitions().get(i).partition(), i);
        }
        Checks.get(admin.deleteTopics(List.of("admin-wide")).all());
    }

    private void deleteTopics() throws Exception {
        String topic = topic("deleted", 1);
        checks.fill(topic, 1, 0, 10);
        Uuid before = describe(topic).topicId();
        Checks.get(admin.deleteTopics(List.of(topic)).all());
        Checks.until("gone", () -> !Checks.get(admin.listTopics().names()).contains(topic));
        Checks.refused(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(topic)).all());
        topic("deleted", 1);
        Uuid after = describe(topic).topicId();
        Checks.expect("another id", !after.equals(before));
        TopicPartition partition = new TopicPartition(topic, 0);
        Checks.same("nothing in it", Checks.get(admin.listOffsets(Map.of(partition, OffsetSpec.latest())).all()).get(partition).offset(), 0L);
        Checks.refused(UnknownTopicIdException.class, () -> admin.deleteTopics(TopicCollection.ofTopicIds(List.of(before))).all());
        Checks.get(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(after))).all());
    }

    private void createPartitions() throws Exception {
        String topic = topic("grown", 2);
        checks.fill(topic, 2, 0, 10);
        Checks.get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all());
        Checks.until("five partitions", () -> describe(topic).partitions().size() == 5);
        checks.fill(topic, 5, 0, 10);
        Checks.refused(InvalidPartitionsException.class, () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all());
        Checks.refused(InvalidPartitionsException.class, () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all());
        Checks.refused(UnknownTopicOrPartitionException.class, () -> admin.createPartitions(Map.of("admin-nothing", NewPartitions.increaseTo(2))).all());
    }

    private void describeConfigs() throws Exception {
        String topic = topic("settings", 1, "retention.ms", "86400000");
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        Config config = Checks.get(admin.describeConfigs(List.of(resource(topic)), options).all()).get(resource(topic));
        ConfigEntry retention = config.get("retention.ms");
        Checks.same("value", retention.value(), "86400000");
        Checks.same("source", retention.source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        Checks.same("type", retention.type(), ConfigEntry.ConfigType.LONG);
        Checks.expect("not a default", !retention.isDefault() && !retention.isReadOnly() && !retention.isSensitive());
        Checks.expect("documentation", retention.documentation() != null && !retention.documentation().isEmpty());
        Checks.expect("synonyms, the topic's own first: " + retention.synonyms(), !retention.synonyms().isEmpty()
                && retention.synonyms().get(0).source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG
                && retention.synonyms().get(0).name().equals("retention.ms"));
        Checks.same("a list's type", config.get("cleanup.policy").type(), ConfigEntry.ConfigType.LIST);
        Checks.expect("a default", config.get("segment.bytes").isDefault());
        Checks.refused(UnknownTopicOrPartitionException.class, () -> admin.describeConfigs(List.of(resource("admin-nothing"))).all());
        for (String name : List.of("cleanup.policy", "compression.type", "delete.retention.ms", "max.message.bytes",
                "message.timestamp.type", "min.insync.replicas", "retention.bytes", "segment.ms")) {
            Checks.expect("has " + name, config.get(name) != null);
        }
    }

    private ConfigResource broker() throws Exception {
        return new ConfigResource(ConfigResource.Type.BROKER, Checks.get(admin.describeCluster().nodes()).iterator().next().idString());
    }

    private void describeBrokerConfigs() throws Exception {
        Config config = Checks.get(admin.describeConfigs(List.of(broker())).all()).get(broker());
        Checks.same("num.partitions", config.get("num.partitions").value(), "4");
        Checks.same("auto.create.topics.enable", config.get("auto.create.topics.enable").value(), "true");
        Checks.same("default.replication.factor", config.get("default.replication.factor").value(), "1");
        Checks.same("group.initial.rebalance.delay.ms", config.get("group.initial.rebalance.delay.ms").value(), "0");
        Checks.expect("message.max.bytes", config.get("message.max.bytes") != null);
    }

    private Future<Void> alter(ConfigResource resource, AlterConfigOp.OpType op, String name, String value) {
        return admin.incrementalAlterConfigs(Map.of(resource, List.<AlterConfigOp>of(new AlterConfigOp(new ConfigEntry(name, value), op)))).all();
    }

    private void incrementalAlterConfigs() throws Exception {
        String topic = topic("altered", 1, "retention.ms", "1000000", "max.message.bytes", "50000");
        ConfigResource resource = resource(topic);
        Checks.get(alter(resource, AlterConfigOp.OpType.SET, "retention.ms", "2000000"));
        // Kafka answers before its broker has the new value
        Checks.until("set", () -> config(topic).get("retention.ms").value().equals("2000000"));
        Checks.same("the other stays", config(topic).get("max.message.bytes").value(), "50000");
        Checks.get(alter(resource, AlterConfigOp.OpType.APPEND, "cleanup.policy", "compact"));
        Checks.until("appended", () -> config(topic).get("cleanup.policy").value().equals("delete,compact"));
        Checks.get(alter(resource, AlterConfigOp.OpType.SUBTRACT, "cleanup.policy", "delete"));
        Checks.until("subtracted", () -> config(topic).get("cleanup.policy").value().equals("compact"));
        Checks.get(alter(resource, AlterConfigOp.OpType.DELETE, "retention.ms", null));
        Checks.until("deleted", () -> config(topic).get("retention.ms").isDefault());
        Checks.get(alter(resource, AlterConfigOp.OpType.SET, "max.message.bytes", "1000"));
        Checks.until("a smaller size", () -> config(topic).get("max.message.bytes").value().equals("1000"));
        try (var producer = checks.producer()) {
            Checks.refused(org.apache.kafka.common.errors.RecordTooLargeException.class,
                    () -> producer.send(new org.apache.kafka.clients.producer.ProducerRecord<>(topic, 0, "k", "x".repeat(5_000))));
        }
    }

    private void alterConfigsRefused() throws Exception {
        String topic = topic("not-altered", 1);
        Checks.refused(InvalidConfigurationException.class, () -> alter(resource(topic), AlterConfigOp.OpType.SET, "retention.ms", "soon"));
        Checks.refused(InvalidConfigurationException.class, () -> alter(resource(topic), AlterConfigOp.OpType.SET, "no.such.setting", "1"));
        Checks.refused(InvalidConfigurationException.class, () -> alter(resource(topic), AlterConfigOp.OpType.APPEND, "retention.ms", "1"));
        Checks.refused(UnknownTopicOrPartitionException.class, () -> alter(resource("admin-nothing"), AlterConfigOp.OpType.SET, "retention.ms", "1000"));
    }

    private void alterBrokerConfigs() throws Exception {
        ConfigResource every = new ConfigResource(ConfigResource.Type.BROKER, "");
        Checks.get(alter(every, AlterConfigOp.OpType.SET, "log.retention.ms", "700000000"));
        Checks.until("the broker's value", () -> "700000000".equals(Checks.get(admin.describeConfigs(List.of(broker())).all()).get(broker())
                .get("log.retention.ms").value()));
        topic("inherits", 1);
        ConfigEntry inherited = config("admin-inherits").get("retention.ms");
        Checks.same("topics inherit it", inherited.value(), "700000000");
        Checks.same("source", inherited.source(), ConfigEntry.ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG);
        Checks.get(alter(every, AlterConfigOp.OpType.DELETE, "log.retention.ms", null));
    }

    private void listConfigResources() throws Exception {
        topic("resource", 1);
        var topics = Checks.get(admin.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new org.apache.kafka.clients.admin.ListConfigResourcesOptions()).all());
        Checks.expect("topics", topics.contains(resource("admin-resource")));
        var brokers = Checks.get(admin.listConfigResources(Set.of(ConfigResource.Type.BROKER), new org.apache.kafka.clients.admin.ListConfigResourcesOptions()).all());
        Checks.expect("the broker: " + brokers, brokers.contains(broker()));
        Checks.get(admin.listConfigResources().all());
    }

    private void listOffsets() throws Exception {
        String topic = topic("offsets", 1);
        checks.fill(topic, 1, 0, 100);
        TopicPartition partition = new TopicPartition(topic, 0);
        Map<String, OffsetSpec> asked = Map.of("earliest", OffsetSpec.earliest(), "latest", OffsetSpec.latest(),
                "time", OffsetSpec.forTimestamp(Checks.FIRST_TIMESTAMP + 42), "greatest", OffsetSpec.maxTimestamp(),
                "local", OffsetSpec.earliestLocal(), "tiered", OffsetSpec.latestTiered());
        Map<String, Long> wanted = Map.of("earliest", 0L, "latest", 100L, "time", 42L, "greatest", 99L, "local", 0L, "tiered", -1L);
        for (String name : new TreeSet<>(asked.keySet())) {
            var found = Checks.get(admin.listOffsets(Map.of(partition, asked.get(name))).all()).get(partition);
            Checks.same(name, found.offset(), wanted.get(name));
        }
    }

    private void deleteRecords() throws Exception {
        String topic = topic("records", 1);
        checks.fill(topic, 1, 0, 100);
        TopicPartition partition = new TopicPartition(topic, 0);
        var deleted = Checks.get(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(40))).all());
        Checks.same("the new start", Checks.get(admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).all()).get(partition).offset(), 40L);
        Checks.get(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(20))).all());
        Checks.same("never lower", Checks.get(admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).all()).get(partition).offset(), 40L);
        Checks.refused(OffsetOutOfRangeException.class, () -> admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(101))).all());
        var all = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(partition);
        Checks.same("all of them", Checks.get(all).lowWatermark(), 100L);
        checks.fill(topic, 1, 0, 1);
        Checks.same("offsets go on", Checks.get(admin.listOffsets(Map.of(partition, OffsetSpec.latest())).all()).get(partition).offset(), 101L);
    }

    private void describeLogDirs() throws Exception {
        String topic = topic("sizes", 2);
        checks.fill(topic, 1, 0, 1_000);
        int node = Checks.get(admin.describeCluster().nodes()).iterator().next().id();
        Collection<LogDirDescription> dirs = Checks.get(admin.describeLogDirs(List.of(node)).allDescriptions()).get(node).values();
        Checks.same("directories", dirs.size(), 1);
        LogDirDescription dir = dirs.iterator().next();
        Checks.same("no error", dir.error(), null);
        Checks.expect("the size of a partition", dir.replicaInfos().get(new TopicPartition(topic, 0)).size() > 1_000);
        Checks.expect("room", dir.totalBytes().orElse(0) > 0 && dir.usableBytes().orElse(0) > 0);
        var replica = new TopicPartitionReplica(topic, 0, node);
        Checks.expect("a replica's directory", Checks.get(admin.describeReplicaLogDirs(List.of(replica)).all()).get(replica).getCurrentReplicaLogDir() != null);
    }

    private void electLeaders() throws Exception {
        String topic = topic("elected", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        var outcome = Checks.get(admin.electLeaders(ElectionType.PREFERRED, Set.of(partition)).partitions()).get(partition);
        Checks.expect("not needed: " + outcome, outcome.isPresent()
                && outcome.get() instanceof org.apache.kafka.common.errors.ElectionNotNeededException);
        Checks.get(admin.electLeaders(ElectionType.PREFERRED, null).partitions());
    }

    private void reassignments() throws Exception {
        Checks.same("none", Checks.get(admin.listPartitionReassignments().reassignments()).size(), 0);
    }

    private void describeProducers() throws Exception {
        String topic = topic("producers", 1);
        checks.fill(topic, 1, 0, 10);
        TopicPartition partition = new TopicPartition(topic, 0);
        var producers = Checks.get(admin.describeProducers(List.of(partition)).partitionResult(partition)).activeProducers();
        Checks.same("one producer", producers.size(), 1);
        Checks.same("its last sequence", producers.get(0).lastSequence(), 9);
    }

    /** A group with committed offsets; with a member if `open`. */
    private KafkaConsumer<String, String> group(String group, String topic, boolean open, String... more) throws Exception {
        String[] settings = new String[more.length + 6];
        System.arraycopy(new String[] {"group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", "false"}, 0, settings, 0, 6);
        System.arraycopy(more, 0, settings, 6, more.length);
        var consumer = new KafkaConsumer<>(checks.properties(settings), new StringDeserializer(), new StringDeserializer());
        consumer.subscribe(List.of(topic));
        Checks.until("an assignment", () -> {
            consumer.poll(java.time.Duration.ofMillis(100));
            return !consumer.assignment().isEmpty();
        });
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        consumer.assignment().forEach(partition -> offsets.put(partition, new OffsetAndMetadata(5 + partition.partition(), "m")));
        consumer.commitSync(offsets);
        if (!open) {
            consumer.close();
        }
        return consumer;
    }

    private void listGroups() throws Exception {
        String topic = topic("groups", 2);
        checks.fill(topic, 2, 0, 20);
        group("admin-empty", topic, false);
        var open = group("admin-stable", topic, true);
        Set<String> all = names(new ListGroupsOptions());
        Checks.expect("both", all.contains("admin-empty") && all.contains("admin-stable"));
        Set<String> stable = names(new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE)));
        Checks.expect("by state", !stable.contains("admin-empty") && stable.contains("admin-stable"));
        Set<String> classic = names(new ListGroupsOptions().withTypes(Set.of(GroupType.CLASSIC)));
        Checks.expect("by type", classic.contains("admin-stable"));
        Checks.expect("by another type", !names(new ListGroupsOptions().withTypes(Set.of(GroupType.SHARE))).contains("admin-stable"));
        open.close();
    }

    private Set<String> names(ListGroupsOptions options) throws Exception {
        return Checks.get(admin.listGroups(options).all()).stream().map(group -> group.groupId()).collect(Collectors.toSet());
    }

    private void describeGroups() throws Exception {
        String topic = topic("group", 2);
        var open = group("admin-described", topic, true);
        var description = Checks.get(admin.describeConsumerGroups(List.of("admin-described")).all()).get("admin-described");
        Checks.same("state", description.groupState(), GroupState.STABLE);
        Checks.same("assignor", description.partitionAssignor(), "range");
        Checks.same("members", description.members().size(), 1);
        var member = description.members().iterator().next();
        Checks.same("partitions", member.assignment().topicPartitions(), Set.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1)));
        Checks.expect("a host: " + member.host(), member.host().contains("127.0.0.1"));
        Checks.expect("a coordinator", description.coordinator().port() > 0);
        var classic = Checks.get(admin.describeClassicGroups(List.of("admin-described")).all()).get("admin-described");
        Checks.same("protocol", classic.protocol(), "consumer");
        open.close();
        Checks.refused(GroupIdNotFoundException.class, () -> admin.describeConsumerGroups(List.of("admin-no-group")).all());
    }

    private void listGroupOffsets() throws Exception {
        String topic = topic("group-offsets", 2);
        group("admin-offsets", topic, false);
        var offsets = Checks.get(admin.listConsumerGroupOffsets("admin-offsets").partitionsToOffsetAndMetadata());
        Checks.same("partitions", offsets.size(), 2);
        Checks.same("offset", offsets.get(new TopicPartition(topic, 1)).offset(), 6L);
        Checks.same("metadata", offsets.get(new TopicPartition(topic, 1)).metadata(), "m");
        Checks.same("none of an unknown group", Checks.get(admin.listConsumerGroupOffsets("admin-no-group").partitionsToOffsetAndMetadata()).size(), 0);
        var two = admin.listConsumerGroupOffsets(Map.of("admin-offsets", new org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec(),
                "admin-no-group", new org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec()));
        Checks.same("of several groups", Checks.get(two.all()).get("admin-offsets").size(), 2);
    }

    private void alterGroupOffsets() throws Exception {
        String topic = topic("altered-offsets", 1);
        group("admin-altered", topic, false);
        TopicPartition partition = new TopicPartition(topic, 0);
        Checks.get(admin.alterConsumerGroupOffsets("admin-altered", Map.of(partition, new OffsetAndMetadata(77))).all());
        Checks.same("altered", Checks.get(admin.listConsumerGroupOffsets("admin-altered").partitionsToOffsetAndMetadata()).get(partition).offset(), 77L);
        var open = group("admin-altered-open", topic, true);
        Checks.refused(org.apache.kafka.common.errors.UnknownMemberIdException.class,
                () -> admin.alterConsumerGroupOffsets("admin-altered-open", Map.of(partition, new OffsetAndMetadata(77))).all());
        open.close();
    }

    private void deleteGroupOffsets() throws Exception {
        String topic = topic("deleted-offsets", 2);
        var open = group("admin-deleted-offsets", topic, true);
        TopicPartition partition = new TopicPartition(topic, 0);
        Checks.refused(GroupSubscribedToTopicException.class, () -> admin.deleteConsumerGroupOffsets("admin-deleted-offsets", Set.of(partition)).all());
        open.close();
        Checks.get(admin.deleteConsumerGroupOffsets("admin-deleted-offsets", Set.of(partition)).all());
        Checks.same("one is left", Checks.get(admin.listConsumerGroupOffsets("admin-deleted-offsets").partitionsToOffsetAndMetadata()).keySet(),
                Set.of(new TopicPartition(topic, 1)));
        Checks.refused(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroupOffsets("admin-no-group", Set.of(partition)).all());
    }

    private void removeMembers() throws Exception {
        String topic = topic("removed", 1);
        var open = group("admin-removed", topic, true, "group.instance.id", "fixed");
        Checks.get(admin.removeMembersFromConsumerGroup("admin-removed",
                new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("fixed")))).all());
        Checks.until("no members", () -> Checks.get(admin.describeConsumerGroups(List.of("admin-removed")).all())
                .get("admin-removed").members().isEmpty());
        open.close(java.time.Duration.ofSeconds(1));
        var other = group("admin-removed-all", topic, true);
        Checks.get(admin.removeMembersFromConsumerGroup("admin-removed-all", new RemoveMembersFromConsumerGroupOptions()).all());
        other.close(java.time.Duration.ofSeconds(1));
    }

    private void deleteGroups() throws Exception {
        String topic = topic("deleted-groups", 1);
        var open = group("admin-deleted", topic, true);
        Checks.refused(GroupNotEmptyException.class, () -> admin.deleteConsumerGroups(List.of("admin-deleted")).all());
        open.close();
        Checks.get(admin.deleteConsumerGroups(List.of("admin-deleted")).all());
        Checks.expect("gone", !names(new ListGroupsOptions()).contains("admin-deleted"));
        Checks.refused(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(List.of("admin-deleted")).all());
    }

    private void describeFeatures() throws Exception {
        Checks.expect("features", Checks.get(admin.describeFeatures().featureMetadata()) != null);
    }

    private void acls() throws Exception {
        Checks.refused(SecurityDisabledException.class, () -> admin.describeAcls(AclBindingFilter.ANY).values());
        Checks.refused(SecurityDisabledException.class, () -> admin.deleteAcls(List.of(AclBindingFilter.ANY)).all());
    }
}
