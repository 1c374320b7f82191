package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kadmChecks: every call of kadm that is not about transactions, security or quotas.
func kadmChecks(c *checks) {
	// every record goes to partition 0, so that lags are known
	client, err := kgo.NewClient(kgo.SeedBrokers(c.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		panic(err)
	}
	k := &kadmRun{c: c, client: client, admin: kadm.NewClient(client)}
	c.check("metadata, brokers, api versions", k.cluster)
	c.check("topics: create, list, delete", k.topics)
	c.check("CreatePartitions, UpdatePartitions", k.partitions)
	c.check("topic configs: describe, alter, alter all", k.configs)
	c.check("broker configs: describe", k.brokerConfigs)
	c.check("offsets: start, end, committed, by time", k.offsets)
	c.check("DeleteRecords", k.deleteRecords)
	c.check("groups: list, describe, lag, fetch and commit offsets", k.groups)
	c.check("groups: delete offsets, delete", k.deleteGroups)
	c.check("DescribeAllLogDirs", k.logDirs)
	c.check("ElectLeaders", k.elect)
	c.check("DescribeProducers", k.producers)
	c.check("ListPartitionReassignments", k.reassignments)
	c.check("OffsetForLeaderEpoch", k.epochs)
	c.check("FindGroupCoordinators", k.coordinators)
}

type kadmRun struct {
	c      *checks
	client *kgo.Client
	admin  *kadm.Client
}

func (k *kadmRun) topic(ctx context.Context, name string, partitions int32, configs map[string]*string) (string, error) {
	made := unique("kadm-" + name)
	answer, err := k.admin.CreateTopic(ctx, partitions, 1, configs, made)
	if err = errors.Join(err, answer.Err); err != nil {
		return "", err
	}
	// Kafka answers before its broker knows the topic
	return made, until(ctx, func() (bool, error) {
		listed, err := k.admin.ListTopics(ctx, made)
		return err == nil && listed[made].Err == nil && len(listed[made].Partitions) > 0, err
	})
}

func (k *kadmRun) fill(ctx context.Context, topic string, records int) error {
	for i := range records {
		record := &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "v-%d", i), Timestamp: first.Add(millis(i))}
		if err := k.client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

func (k *kadmRun) cluster(ctx context.Context) error {
	brokers, err := k.admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	if err := same("brokers", len(brokers), 1); err != nil {
		return err
	}
	metadata, err := k.admin.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	if metadata.Cluster == "" || metadata.Controller != brokers[0].NodeID {
		return fmt.Errorf("cluster %q, controller %d", metadata.Cluster, metadata.Controller)
	}
	versions, err := k.admin.ApiVersions(ctx)
	if err != nil {
		return err
	}
	for _, of := range versions.Sorted() {
		if of.Err != nil {
			return of.Err
		}
	}
	return nil
}

func (k *kadmRun) topics(ctx context.Context) error {
	name, err := k.topic(ctx, "topics", 3, nil)
	if err != nil {
		return err
	}
	listed, err := k.admin.ListTopics(ctx, name)
	if err != nil {
		return err
	}
	if err := same("partitions", len(listed[name].Partitions), 3); err != nil {
		return err
	}
	if _, err = k.topic(ctx, "topics", 3, nil); !errors.Is(err, kerr.TopicAlreadyExists) {
		return refused(kerr.TopicAlreadyExists, err)
	}
	deleted, err := k.admin.DeleteTopics(ctx, name)
	if err != nil {
		return err
	}
	if err := deleted.Error(); err != nil {
		return err
	}
	again, err := k.admin.DeleteTopics(ctx, name)
	if err != nil {
		return err
	}
	return refused(kerr.UnknownTopicOrPartition, again[name].Err)
}

func (k *kadmRun) partitions(ctx context.Context) error {
	name, err := k.topic(ctx, "partitions", 1, nil)
	if err != nil {
		return err
	}
	grown, err := k.admin.CreatePartitions(ctx, 2, name)
	if err != nil {
		return err
	}
	if err := grown.Error(); err != nil {
		return err
	}
	if grown, err = k.admin.UpdatePartitions(ctx, 5, name); err != nil {
		return err
	}
	if err := grown.Error(); err != nil {
		return err
	}
	fewer, err := k.admin.UpdatePartitions(ctx, 2, name)
	if err != nil {
		return err
	}
	return refused(kerr.InvalidPartitions, fewer[name].Err)
}

func (k *kadmRun) configs(ctx context.Context) error {
	retention, small := "1000000", "50000"
	name, err := k.topic(ctx, "configs", 1, map[string]*string{"retention.ms": &retention, "max.message.bytes": &small})
	if err != nil {
		return err
	}
	value := func(key string) (string, error) {
		described, err := k.admin.DescribeTopicConfigs(ctx, name)
		if err != nil {
			return "", err
		}
		for _, config := range described[0].Configs {
			if config.Key == key {
				return config.MaybeValue(), nil
			}
		}
		return "", fmt.Errorf("no %s", key)
	}
	if got, err := value("retention.ms"); err != nil || got != retention {
		return fmt.Errorf("retention.ms: %q, %v", got, err)
	}
	other := "2000000"
	altered, err := k.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &other},
		{Op: kadm.DeleteConfig, Name: "max.message.bytes"}}, name)
	if err != nil {
		return err
	}
	if altered[0].Err != nil {
		return altered[0].Err
	}
	err = until(ctx, func() (bool, error) { got, err := value("retention.ms"); return got == other, err })
	if err != nil {
		return err
	}
	if got, err := value("max.message.bytes"); err != nil || got == small {
		return fmt.Errorf("max.message.bytes after its deletion: %q, %v", got, err)
	}
	state, err := k.admin.AlterTopicConfigsState(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: &small}}, name)
	if err != nil {
		return err
	}
	if state[0].Err != nil {
		return state[0].Err
	}
	return until(ctx, func() (bool, error) { got, err := value("retention.ms"); return got != other, err })
}

func (k *kadmRun) brokerConfigs(ctx context.Context) error {
	brokers, err := k.admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	described, err := k.admin.DescribeBrokerConfigs(ctx, brokers.NodeIDs()...)
	if err != nil {
		return err
	}
	if described[0].Err != nil {
		return described[0].Err
	}
	if len(described[0].Configs) == 0 {
		return errors.New("no settings")
	}
	return nil
}

func (k *kadmRun) offsets(ctx context.Context) error {
	name, err := k.topic(ctx, "offsets", 1, nil)
	if err != nil {
		return err
	}
	if err := k.fill(ctx, name, 20); err != nil {
		return err
	}
	for what, call := range map[string]struct {
		list   func() (kadm.ListedOffsets, error)
		wanted int64
	}{
		"start":         {func() (kadm.ListedOffsets, error) { return k.admin.ListStartOffsets(ctx, name) }, 0},
		"end":           {func() (kadm.ListedOffsets, error) { return k.admin.ListEndOffsets(ctx, name) }, 20},
		"committed":     {func() (kadm.ListedOffsets, error) { return k.admin.ListCommittedOffsets(ctx, name) }, 20},
		"greatest time": {func() (kadm.ListedOffsets, error) { return k.admin.ListMaxTimestampOffsets(ctx, name) }, 19},
		"after a time": {func() (kadm.ListedOffsets, error) {
			return k.admin.ListOffsetsAfterMilli(ctx, first.Add(millis(7)).UnixMilli(), name)
		}, 7},
	} {
		listed, err := call.list()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		found, _ := listed.Lookup(name, 0)
		if found.Err != nil {
			return found.Err
		}
		if err := same(what, found.Offset, call.wanted); err != nil {
			return err
		}
	}
	return nil
}

func (k *kadmRun) deleteRecords(ctx context.Context) error {
	name, err := k.topic(ctx, "records", 1, nil)
	if err != nil {
		return err
	}
	if err := k.fill(ctx, name, 20); err != nil {
		return err
	}
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: name, Partition: 0, At: 5})
	deleted, err := k.admin.DeleteRecords(ctx, offsets)
	if err != nil {
		return err
	}
	if err := deleted.Error(); err != nil {
		return err
	}
	return same("low watermark", deleted[name][0].LowWatermark, 5)
}

func (k *kadmRun) group(ctx context.Context, name string) (topic, group string, err error) {
	if topic, err = k.topic(ctx, name, 2, nil); err != nil {
		return "", "", err
	}
	if err = k.fill(ctx, topic, 10); err != nil {
		return "", "", err
	}
	group = unique("kadm-group-" + name)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 1, Metadata: "m"})
	offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: 0})
	return topic, group, k.admin.CommitAllOffsets(ctx, group, offsets)
}

func (k *kadmRun) groups(ctx context.Context) error {
	topic, group, err := k.group(ctx, "groups")
	if err != nil {
		return err
	}
	listed, err := k.admin.ListGroups(ctx)
	if err != nil {
		return err
	}
	if _, found := listed[group]; !found {
		return errors.New("the group is not listed")
	}
	described, err := k.admin.DescribeGroups(ctx, group)
	if err != nil {
		return err
	}
	if err := same("state", described[group].State, "Empty"); err != nil {
		return err
	}
	fetched, err := k.admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	committed, _ := fetched.Lookup(topic, 0)
	if err := same("committed", committed.At, 1); err != nil {
		return err
	}
	if err := same("metadata", committed.Metadata, "m"); err != nil {
		return err
	}
	lags, err := k.admin.Lag(ctx, group)
	if err != nil {
		return err
	}
	if err := lags.Error(); err != nil {
		return err
	}
	return same("lag", lags[group].Lag.Total(), 9)
}

func (k *kadmRun) deleteGroups(ctx context.Context) error {
	topic, group, err := k.group(ctx, "delete")
	if err != nil {
		return err
	}
	var set kadm.TopicsSet
	set.Add(topic, 0)
	deleted, err := k.admin.DeleteOffsets(ctx, group, set)
	if err != nil {
		return err
	}
	if err := deleted.Error(); err != nil {
		return err
	}
	fetched, err := k.admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	if _, found := fetched.Lookup(topic, 0); found {
		return errors.New("the offset is still there")
	}
	gone, err := k.admin.DeleteGroups(ctx, group)
	if err != nil {
		return err
	}
	if err := gone.Error(); err != nil {
		return err
	}
	again, err := k.admin.DeleteGroups(ctx, group)
	if err != nil {
		return err
	}
	return refused(kerr.GroupIDNotFound, again[group].Err)
}

func (k *kadmRun) logDirs(ctx context.Context) error {
	name, err := k.topic(ctx, "dirs", 1, nil)
	if err != nil {
		return err
	}
	if err := k.fill(ctx, name, 5); err != nil {
		return err
	}
	dirs, err := k.admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return err
	}
	for _, dir := range dirs.Sorted() {
		if dir.Err != nil {
			return dir.Err
		}
		if found, ok := dir.Topics.Lookup(name, 0); ok && found.Size > 0 {
			return nil
		}
	}
	return errors.New("no size of the partition")
}

func (k *kadmRun) elect(ctx context.Context) error {
	name, err := k.topic(ctx, "elect", 1, nil)
	if err != nil {
		return err
	}
	var set kadm.TopicsSet
	set.Add(name, 0)
	elected, err := k.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
	if err != nil {
		return err
	}
	return refused(kerr.ElectionNotNeeded, elected[name][0].Err)
}

func (k *kadmRun) producers(ctx context.Context) error {
	name, err := k.topic(ctx, "producers", 1, nil)
	if err != nil {
		return err
	}
	if err := k.fill(ctx, name, 5); err != nil {
		return err
	}
	var set kadm.TopicsSet
	set.Add(name, 0)
	described, err := k.admin.DescribeProducers(ctx, set)
	if err != nil {
		return err
	}
	producers := described.SortedProducers()
	if err := same("producers", len(producers), 1); err != nil {
		return err
	}
	return same("last sequence", producers[0].LastSequence, 4)
}

func (k *kadmRun) reassignments(ctx context.Context) error {
	listed, err := k.admin.ListPartitionReassignments(ctx, nil)
	if err != nil {
		return err
	}
	return same("none", len(listed), 0)
}

func (k *kadmRun) epochs(ctx context.Context) error {
	name, err := k.topic(ctx, "epochs", 1, nil)
	if err != nil {
		return err
	}
	if err := k.fill(ctx, name, 5); err != nil {
		return err
	}
	var asked kadm.OffsetForLeaderEpochRequest
	asked.Add(name, 0, 1_000_000)
	found, err := k.admin.OffsetForLeaderEpoch(ctx, asked)
	if err != nil {
		return err
	}
	// an epoch that is not there yet: no end
	return same("end offset", found[name][0].EndOffset, -1)
}

func (k *kadmRun) coordinators(ctx context.Context) error {
	found := k.admin.FindGroupCoordinators(ctx, "one", "two")
	if err := found.Error(); err != nil {
		return err
	}
	return same("coordinators", len(found), 2)
}
