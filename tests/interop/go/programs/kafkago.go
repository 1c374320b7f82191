package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
)

// kafkaGoChecks: a client that calls old versions without asking.
func kafkaGoChecks(c *checks) {
	k := &kafkaGoRun{c: c, client: &kafka.Client{Addr: kafka.TCP(c.bootstrap), Timeout: 30 * time.Second}}
	c.check("every codec, offsets, keys, headers, times", k.codecs)
	c.check("acks none, one, all", k.acks)
	c.check("auto-creation by the first record", k.autoCreation)
	c.check("a group reads everything and goes on", k.group)
	c.check("two members read every partition", k.sharing)
	c.check("seek, offsets by time", k.seek)
	c.check("connection: topics, partitions, controller", k.connection)
	c.check("client: create and delete topics, metadata", k.topics)
	c.check("client: create partitions", k.partitions)
	c.check("client: describe configs", k.configs)
	c.check("client: incremental alter configs", k.alterConfigs)
	c.check("client: alter configs", k.alterAllConfigs)
	c.check("client: groups and offsets", k.groups)
	c.check("client: delete offsets, delete groups", k.deleteGroups)
	c.check("client: list offsets", k.listOffsets)
}

type kafkaGoRun struct {
	c      *checks
	client *kafka.Client
	made   int
}

func (k *kafkaGoRun) topic(ctx context.Context, name string, partitions int) (string, error) {
	k.made++
	made := unique(fmt.Sprintf("kafka-go-%s-%d", name, k.made))
	answer, err := k.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: made, NumPartitions: partitions, ReplicationFactor: 1}}})
	if err != nil {
		return "", err
	}
	return made, answer.Errors[made]
}

func (k *kafkaGoRun) produce(ctx context.Context, topic string, from, upto int, change func(*kafka.Writer)) error {
	writer := &kafka.Writer{Addr: kafka.TCP(k.c.bootstrap), Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: millis(5),
		Balancer: &kafka.RoundRobin{}}
	if change != nil {
		change(writer)
	}
	var messages []kafka.Message
	for i := from; i < upto; i++ {
		messages = append(messages, kafka.Message{Key: fmt.Appendf(nil, "k-%d", i), Value: fmt.Appendf(nil, "v-%d", i),
			Time: first.Add(millis(i)), Headers: []kafka.Header{{Key: "n", Value: fmt.Appendf(nil, "%d", i)}}})
	}
	return errors.Join(writer.WriteMessages(ctx, messages...), writer.Close())
}

func (k *kafkaGoRun) codecs(ctx context.Context) error {
	for _, codec := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		topic, err := k.topic(ctx, "codec", 1)
		if err != nil {
			return err
		}
		if err := k.produce(ctx, topic, 0, 500, func(writer *kafka.Writer) { writer.Compression = codec }); err != nil {
			return fmt.Errorf("%s: %w", codec, err)
		}
		reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{k.c.bootstrap}, Topic: topic, MaxWait: millis(100)})
		for i := range 500 {
			message, err := reader.ReadMessage(ctx)
			if err != nil {
				return fmt.Errorf("%s record %d: %w", codec, i, err)
			}
			got := fmt.Sprintf("%d %s %s %d %s", message.Offset, message.Key, message.Value, message.Time.UnixMilli(), message.Headers[0].Value)
			wanted := fmt.Sprintf("%d k-%d v-%d %d %d", i, i, i, first.Add(millis(i)).UnixMilli(), i)
			if err := same("record", got, wanted); err != nil {
				return err
			}
		}
		if err := reader.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (k *kafkaGoRun) acks(ctx context.Context) error {
	for _, acks := range []kafka.RequiredAcks{kafka.RequireNone, kafka.RequireOne, kafka.RequireAll} {
		topic, err := k.topic(ctx, "acks", 1)
		if err != nil {
			return err
		}
		if err := k.produce(ctx, topic, 0, 100, func(writer *kafka.Writer) { writer.RequiredAcks = acks }); err != nil {
			return fmt.Errorf("%s: %w", acks, err)
		}
		err = until(ctx, func() (bool, error) {
			connection, err := kafka.DialLeader(ctx, "tcp", k.c.bootstrap, topic, 0)
			if err != nil {
				return false, err
			}
			defer connection.Close()
			last, err := connection.ReadLastOffset()
			return last == 100, err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", acks, err)
		}
	}
	return nil
}

func (k *kafkaGoRun) autoCreation(ctx context.Context) error {
	return until(ctx, func() (bool, error) {
		err := k.produce(ctx, unique("kafka-go-made-by-use"), 0, 1, func(writer *kafka.Writer) { writer.AllowAutoTopicCreation = true })
		return err == nil, nil
	})
}

func (k *kafkaGoRun) read(ctx context.Context, group, topic string, count int) (map[string]bool, error) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{k.c.bootstrap}, GroupID: group, Topic: topic, MaxWait: millis(100),
		StartOffset: kafka.FirstOffset})
	got := map[string]bool{}
	for len(got) < count {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			return got, fmt.Errorf("after %d records: %w", len(got), err)
		}
		got[string(message.Value)] = true
		if err := reader.CommitMessages(ctx, message); err != nil {
			return got, err
		}
	}
	return got, reader.Close()
}

func (k *kafkaGoRun) group(ctx context.Context) error {
	topic, err := k.topic(ctx, "group", 2)
	if err != nil {
		return err
	}
	group := unique("kafka-go-group")
	if err := k.produce(ctx, topic, 0, 100, nil); err != nil {
		return err
	}
	if _, err := k.read(ctx, group, topic, 100); err != nil {
		return err
	}
	if err := k.produce(ctx, topic, 100, 120, nil); err != nil {
		return err
	}
	got, err := k.read(ctx, group, topic, 20)
	if err != nil {
		return err
	}
	if !got["v-100"] || !got["v-119"] || got["v-0"] {
		return errors.New("it read what was committed before")
	}
	return nil
}

func (k *kafkaGoRun) sharing(ctx context.Context) error {
	topic, err := k.topic(ctx, "sharing", 4)
	if err != nil {
		return err
	}
	group := unique("kafka-go-sharing")
	if err := k.produce(ctx, topic, 0, 200, nil); err != nil {
		return err
	}
	values := make(chan string, 400)
	for range 2 {
		reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{k.c.bootstrap}, GroupID: group, Topic: topic, MaxWait: millis(100),
			StartOffset: kafka.FirstOffset, HeartbeatInterval: millis(300)})
		defer reader.Close()
		go func() {
			for {
				message, err := reader.ReadMessage(ctx)
				if err != nil {
					return
				}
				values <- string(message.Value)
			}
		}()
	}
	seen := map[string]bool{}
	for len(seen) < 200 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("only %d of 200 records", len(seen))
		case value := <-values:
			seen[value] = true
		}
	}
	return nil
}

func (k *kafkaGoRun) seek(ctx context.Context) error {
	topic, err := k.topic(ctx, "seek", 1)
	if err != nil {
		return err
	}
	if err := k.produce(ctx, topic, 0, 50, nil); err != nil {
		return err
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{k.c.bootstrap}, Topic: topic, MaxWait: millis(100)})
	defer reader.Close()
	if err := reader.SetOffset(40); err != nil {
		return err
	}
	message, err := reader.ReadMessage(ctx)
	if err != nil {
		return err
	}
	if err := same("offset", message.Offset, 40); err != nil {
		return err
	}
	if err := reader.SetOffsetAt(ctx, first.Add(millis(7))); err != nil {
		return err
	}
	return same("by time", reader.Offset(), 7)
}

func (k *kafkaGoRun) connection(ctx context.Context) error {
	connection, err := kafka.DialContext(ctx, "tcp", k.c.bootstrap)
	if err != nil {
		return err
	}
	defer connection.Close()
	topic := unique("kafka-go-connection")
	if err := connection.CreateTopics(kafka.TopicConfig{Topic: topic, NumPartitions: 3, ReplicationFactor: 1}); err != nil {
		return err
	}
	partitions, err := connection.ReadPartitions(topic)
	if err != nil {
		return err
	}
	if err := same("partitions", len(partitions), 3); err != nil {
		return err
	}
	controller, err := connection.Controller()
	if err != nil {
		return err
	}
	if err := same("controller", fmt.Sprintf("%s:%d", controller.Host, controller.Port), k.c.bootstrap); err != nil {
		return err
	}
	if _, err := connection.ApiVersions(); err != nil {
		return err
	}
	batch := func() error {
		leader, err := kafka.DialLeader(ctx, "tcp", k.c.bootstrap, topic, 0)
		if err != nil {
			return err
		}
		defer leader.Close()
		if _, err := leader.WriteMessages(kafka.Message{Value: []byte("one")}, kafka.Message{Value: []byte("two")}); err != nil {
			return err
		}
		read := leader.ReadBatch(1, 1<<20)
		defer read.Close()
		for _, wanted := range []string{"one", "two"} {
			message, err := read.ReadMessage()
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if err := same("value", string(message.Value), wanted); err != nil {
				return err
			}
		}
		return nil
	}
	if err := batch(); err != nil {
		return err
	}
	return connection.DeleteTopics(topic)
}

func (k *kafkaGoRun) topics(ctx context.Context) error {
	topic, err := k.topic(ctx, "topics", 3)
	if err != nil {
		return err
	}
	metadata, err := k.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	if err := same("partitions", len(metadata.Topics[0].Partitions), 3); err != nil {
		return err
	}
	deleted, err := k.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return deleted.Errors[topic]
}

func (k *kafkaGoRun) partitions(ctx context.Context) error {
	topic, err := k.topic(ctx, "partitions", 1)
	if err != nil {
		return err
	}
	grown, err := k.client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 3}}})
	if err != nil {
		return err
	}
	return grown.Errors[topic]
}

func (k *kafkaGoRun) setting(ctx context.Context, topic, name string) (string, error) {
	described, err := k.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{name}}}})
	if err != nil {
		return "", err
	}
	if described.Resources[0].Error != nil {
		return "", described.Resources[0].Error
	}
	return described.Resources[0].ConfigEntries[0].ConfigValue, nil
}

func (k *kafkaGoRun) configs(ctx context.Context) error {
	topic, err := k.topic(ctx, "configs", 1)
	if err != nil {
		return err
	}
	value, err := k.setting(ctx, topic, "cleanup.policy")
	if err != nil {
		return err
	}
	return same("cleanup.policy", value, "delete")
}

func (k *kafkaGoRun) alterConfigs(ctx context.Context) error {
	topic, err := k.topic(ctx, "alter", 1)
	if err != nil {
		return err
	}
	altered, err := k.client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "retention.ms", Value: "2000000", ConfigOperation: kafka.ConfigOperationSet}}}}})
	if err != nil {
		return err
	}
	if altered.Resources[0].Error != nil {
		return altered.Resources[0].Error
	}
	return until(ctx, func() (bool, error) {
		value, err := k.setting(ctx, topic, "retention.ms")
		return value == "2000000", err
	})
}

func (k *kafkaGoRun) alterAllConfigs(ctx context.Context) error {
	topic, err := k.topic(ctx, "alter-all", 1)
	if err != nil {
		return err
	}
	altered, err := k.client.AlterConfigs(ctx, &kafka.AlterConfigsRequest{
		Resources: []kafka.AlterConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.AlterConfigRequestConfig{{Name: "retention.ms", Value: "3000000"}}}}})
	if err != nil {
		return err
	}
	for _, err := range altered.Errors {
		if err != nil {
			return err
		}
	}
	return until(ctx, func() (bool, error) {
		value, err := k.setting(ctx, topic, "retention.ms")
		return value == "3000000", err
	})
}

func (k *kafkaGoRun) groupWithOffsets(ctx context.Context, name string) (topic, group string, err error) {
	if topic, err = k.topic(ctx, name, 1); err != nil {
		return "", "", err
	}
	group = unique("kafka-go-" + name)
	if err = k.produce(ctx, topic, 0, 5, nil); err != nil {
		return "", "", err
	}
	_, err = k.read(ctx, group, topic, 5)
	return topic, group, err
}

func (k *kafkaGoRun) groups(ctx context.Context) error {
	topic, group, err := k.groupWithOffsets(ctx, "groups")
	if err != nil {
		return err
	}
	listed, err := k.client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil {
		return err
	}
	found := false
	for _, one := range listed.Groups {
		found = found || one.GroupID == group
	}
	if !found {
		return errors.New("the group is not listed")
	}
	described, err := k.client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return err
	}
	if err := same("state", described.Groups[0].GroupState, "Empty"); err != nil {
		return err
	}
	offsets, err := k.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
	if err != nil {
		return err
	}
	if err := same("offset", offsets.Topics[topic][0].CommittedOffset, 5); err != nil {
		return err
	}
	coordinator, err := k.client.FindCoordinator(ctx, &kafka.FindCoordinatorRequest{Key: group, KeyType: kafka.CoordinatorKeyTypeConsumer})
	if err != nil {
		return err
	}
	return coordinator.Error
}

func (k *kafkaGoRun) deleteGroups(ctx context.Context) error {
	topic, group, err := k.groupWithOffsets(ctx, "delete")
	if err != nil {
		return err
	}
	offsets, err := k.client.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
	if err != nil {
		return err
	}
	if err := offsets.Topics[topic][0].Error; err != nil {
		return err
	}
	deleted, err := k.client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return err
	}
	return deleted.Errors[group]
}

func (k *kafkaGoRun) listOffsets(ctx context.Context) error {
	topic, err := k.topic(ctx, "list", 1)
	if err != nil {
		return err
	}
	if err := k.produce(ctx, topic, 0, 50, nil); err != nil {
		return err
	}
	listed, err := k.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}})
	if err != nil {
		return err
	}
	found := listed.Topics[topic][0]
	return errors.Join(found.Error, same("first", found.FirstOffset, 0), same("last", found.LastOffset, 50))
}
