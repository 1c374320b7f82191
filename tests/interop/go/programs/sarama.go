package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/IBM/sarama"
)

// saramaChecks: producer, consumer, group and admin with the client's default protocol version, then with its oldest common one.
func saramaChecks(c *checks) {
	for _, version := range []sarama.KafkaVersion{sarama.V2_8_0_0, sarama.V1_1_0_0, sarama.MaxVersion} {
		s := &saramaRun{c: c, version: version}
		name := func(what string) string { return fmt.Sprintf("%s: %s", version, what) }
		c.check(name("every codec, offsets, keys, headers, times"), s.codecs)
		c.check(name("an idempotent producer"), s.idempotent)
		c.check(name("a record above max.message.bytes is refused"), s.tooLarge)
		c.check(name("a group reads everything and goes on"), s.group)
		c.check(name("offsets: oldest, newest, by time"), s.offsets)
		c.check(name("admin: topics, partitions"), s.topics)
		c.check(name("admin: configs"), s.configs)
		c.check(name("admin: groups"), s.groups)
		c.check(name("admin: delete records"), s.deleteRecords)
		c.check(name("admin: log directories, cluster"), s.cluster)
	}
}

type saramaRun struct {
	c       *checks
	version sarama.KafkaVersion
	made    int
}

func (s *saramaRun) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = s.version
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Return.Errors = true
	return config
}

func (s *saramaRun) topic(name string, partitions int32, configs map[string]*string) (string, error) {
	admin, err := sarama.NewClusterAdmin([]string{s.c.bootstrap}, s.config())
	if err != nil {
		return "", err
	}
	defer admin.Close()
	s.made++
	made := unique(fmt.Sprintf("sarama-%s-%s-%d", s.version, name, s.made))
	if err := admin.CreateTopic(made, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: configs}, false); err != nil {
		return "", err
	}
	// Kafka answers before its broker knows the topic
	ctx, cancel := context.WithTimeout(context.Background(), secondsMax)
	defer cancel()
	return made, until(ctx, func() (bool, error) {
		described, err := admin.DescribeTopics([]string{made})
		return err == nil && described[0].Err == sarama.ErrNoError && len(described[0].Partitions) > 0, err
	})
}

func (s *saramaRun) produce(topic string, records int, change func(*sarama.Config)) error {
	config := s.config()
	if change != nil {
		change(config)
	}
	producer, err := sarama.NewSyncProducer([]string{s.c.bootstrap}, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	messages := make([]*sarama.ProducerMessage, records)
	for i := range records {
		messages[i] = &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(fmt.Sprintf("k-%d", i)),
			Value: sarama.StringEncoder(fmt.Sprintf("v-%d", i)), Timestamp: first.Add(millis(i)),
			Headers: []sarama.RecordHeader{{Key: []byte("n"), Value: fmt.Appendf(nil, "%d", i)}}}
	}
	if err := producer.SendMessages(messages); err != nil {
		var failures sarama.ProducerErrors
		if errors.As(err, &failures) {
			return failures[0].Err
		}
		return err
	}
	for i, message := range messages {
		if err := same("offset", message.Offset, int64(i)); err != nil {
			return err
		}
	}
	return nil
}

func (s *saramaRun) consume(ctx context.Context, topic string, records int) error {
	consumer, err := sarama.NewConsumer([]string{s.c.bootstrap}, s.config())
	if err != nil {
		return err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	defer partition.Close()
	for i := range records {
		select {
		case <-ctx.Done():
			return fmt.Errorf("record %d: %w", i, ctx.Err())
		case err := <-partition.Errors():
			return err
		case message := <-partition.Messages():
			got := fmt.Sprintf("%d %s %s %d %s", message.Offset, message.Key, message.Value, message.Timestamp.UnixMilli(), message.Headers[0].Value)
			wanted := fmt.Sprintf("%d k-%d v-%d %d %d", i, i, i, first.Add(millis(i)).UnixMilli(), i)
			if err := same("record", got, wanted); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *saramaRun) codecs(ctx context.Context) error {
	codecs := []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4}
	if s.version.IsAtLeast(sarama.V2_1_0_0) {
		codecs = append(codecs, sarama.CompressionZSTD)
	}
	for _, codec := range codecs {
		topic, err := s.topic("codec", 1, nil)
		if err != nil {
			return err
		}
		if err := s.produce(topic, 500, func(config *sarama.Config) { config.Producer.Compression = codec }); err != nil {
			return fmt.Errorf("%s: %w", codec, err)
		}
		if err := s.consume(ctx, topic, 500); err != nil {
			return fmt.Errorf("%s: %w", codec, err)
		}
	}
	return nil
}

func (s *saramaRun) idempotent(ctx context.Context) error {
	topic, err := s.topic("idempotent", 1, nil)
	if err != nil {
		return err
	}
	err = s.produce(topic, 500, func(config *sarama.Config) {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	})
	if err != nil {
		return err
	}
	return s.consume(ctx, topic, 500)
}

func (s *saramaRun) tooLarge(context.Context) error {
	small := "10000"
	topic, err := s.topic("large", 1, map[string]*string{"max.message.bytes": &small})
	if err != nil {
		return err
	}
	producer, err := sarama.NewSyncProducer([]string{s.c.bootstrap}, s.config())
	if err != nil {
		return err
	}
	defer producer.Close()
	_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(make([]byte, 50_000))})
	return refused(sarama.ErrMessageSizeTooLarge, err)
}

// reader is a member of a group that marks what it reads.
type reader struct {
	wanted int
	mutex  sync.Mutex
	got    map[string]bool
	done   context.CancelFunc
}

func (r *reader) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (r *reader) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (r *reader) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		session.MarkMessage(message, "")
		r.mutex.Lock()
		r.got[string(message.Value)] = true
		enough := len(r.got) >= r.wanted
		r.mutex.Unlock()
		if enough {
			r.done()
		}
	}
	return nil
}

func (s *saramaRun) read(ctx context.Context, group, topic string, wanted int) error {
	members, err := sarama.NewConsumerGroup([]string{s.c.bootstrap}, group, s.config())
	if err != nil {
		return err
	}
	defer members.Close()
	reading, done := context.WithCancel(ctx)
	r := &reader{wanted: wanted, got: map[string]bool{}, done: done}
	for reading.Err() == nil {
		if err := members.Consume(reading, []string{topic}, r); err != nil && reading.Err() == nil {
			return err
		}
	}
	return same("records", len(r.got), wanted)
}

func (s *saramaRun) group(ctx context.Context) error {
	topic, err := s.topic("group", 2, nil)
	if err != nil {
		return err
	}
	group := unique("sarama-group-" + s.version.String())
	spread := func(config *sarama.Config) { config.Producer.Partitioner = sarama.NewRoundRobinPartitioner }
	if err := s.spread(topic, 200, spread); err != nil {
		return err
	}
	if err := s.read(ctx, group, topic, 200); err != nil {
		return err
	}
	if err := s.spread(topic, 50, spread); err != nil {
		return err
	}
	return s.read(ctx, group, topic, 50)
}

// spread writes over the partitions in turn.
func (s *saramaRun) spread(topic string, records int, change func(*sarama.Config)) error {
	config := s.config()
	change(config)
	producer, err := sarama.NewSyncProducer([]string{s.c.bootstrap}, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	for i := range records {
		message := &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(fmt.Sprintf("v-%d", i))}
		if _, _, err := producer.SendMessage(message); err != nil {
			return err
		}
	}
	return nil
}

func (s *saramaRun) offsets(context.Context) error {
	topic, err := s.topic("offsets", 1, nil)
	if err != nil {
		return err
	}
	if err := s.produce(topic, 50, nil); err != nil {
		return err
	}
	client, err := sarama.NewClient([]string{s.c.bootstrap}, s.config())
	if err != nil {
		return err
	}
	defer client.Close()
	for at, wanted := range map[int64]int64{sarama.OffsetOldest: 0, sarama.OffsetNewest: 50, first.Add(millis(7)).UnixMilli(): 7} {
		found, err := client.GetOffset(topic, 0, at)
		if err != nil {
			return err
		}
		if err := same("offset", found, wanted); err != nil {
			return err
		}
	}
	return nil
}

func (s *saramaRun) admin(action func(sarama.ClusterAdmin) error) error {
	admin, err := sarama.NewClusterAdmin([]string{s.c.bootstrap}, s.config())
	if err != nil {
		return err
	}
	defer admin.Close()
	return action(admin)
}

func (s *saramaRun) topics(ctx context.Context) error {
	topic, err := s.topic("topics", 1, nil)
	if err != nil {
		return err
	}
	return s.admin(func(admin sarama.ClusterAdmin) error {
		if err := admin.CreatePartitions(topic, 3, nil, false); err != nil {
			return err
		}
		err := until(ctx, func() (bool, error) {
			described, err := admin.DescribeTopics([]string{topic})
			return err == nil && len(described[0].Partitions) == 3, err
		})
		if err != nil {
			return err
		}
		if listed, err := admin.ListTopics(); err != nil || listed[topic].NumPartitions != 3 {
			return fmt.Errorf("listed: %v, %w", listed[topic], err)
		}
		return admin.DeleteTopic(topic)
	})
}

func (s *saramaRun) configs(ctx context.Context) error {
	retention, other := "1000000", "2000000"
	topic, err := s.topic("configs", 1, map[string]*string{"retention.ms": &retention})
	if err != nil {
		return err
	}
	return s.admin(func(admin sarama.ClusterAdmin) error {
		resource := sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}}
		entries, err := admin.DescribeConfig(resource)
		if err != nil {
			return err
		}
		if err := same("entries", len(entries), 1); err != nil {
			return err
		}
		if err := same("value", entries[0].Value, retention); err != nil {
			return err
		}
		if err := admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &other}, false); err != nil {
			return err
		}
		return until(ctx, func() (bool, error) {
			entries, err := admin.DescribeConfig(resource)
			return err == nil && entries[0].Value == other, err
		})
	})
}

func (s *saramaRun) groups(ctx context.Context) error {
	topic, err := s.topic("groups", 1, nil)
	if err != nil {
		return err
	}
	if err := s.produce(topic, 5, nil); err != nil {
		return err
	}
	group := unique("sarama-admin-" + s.version.String())
	if err := s.read(ctx, group, topic, 5); err != nil {
		return err
	}
	return s.admin(func(admin sarama.ClusterAdmin) error {
		listed, err := admin.ListConsumerGroups()
		if err != nil {
			return err
		}
		if listed[group] != "consumer" {
			return fmt.Errorf("not listed: %q", listed[group])
		}
		described, err := admin.DescribeConsumerGroups([]string{group})
		if err != nil {
			return err
		}
		if err := same("state", described[0].State, "Empty"); err != nil {
			return err
		}
		offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
		if err != nil {
			return err
		}
		if err := same("offset", offsets.GetBlock(topic, 0).Offset, 5); err != nil {
			return err
		}
		return admin.DeleteConsumerGroup(group)
	})
}

func (s *saramaRun) deleteRecords(context.Context) error {
	topic, err := s.topic("records", 1, nil)
	if err != nil {
		return err
	}
	if err := s.produce(topic, 20, nil); err != nil {
		return err
	}
	return s.admin(func(admin sarama.ClusterAdmin) error { return admin.DeleteRecords(topic, map[int32]int64{0: 5}) })
}

func (s *saramaRun) cluster(context.Context) error {
	return s.admin(func(admin sarama.ClusterAdmin) error {
		brokers, controller, err := admin.DescribeCluster()
		if err != nil {
			return err
		}
		if err := same("brokers", len(brokers), 1); err != nil {
			return err
		}
		if err := same("controller", controller, brokers[0].ID()); err != nil {
			return err
		}
		if !s.version.IsAtLeast(sarama.V2_0_0_0) {
			// version 0 of DescribeLogDirs, which Kafka 4 has no more
			return nil
		}
		dirs, err := admin.DescribeLogDirs([]int32{controller})
		if err != nil {
			return err
		}
		return same("directories", len(dirs[controller]), 1)
	})
}
