package harness_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	loadClients = 50 // redis-benchmark's own default
	loadKeys    = 1000
	loadTimeout = 10 * time.Second
)

// A loadServer is what the load is put on.
type loadServer struct {
	name       string
	operations int // of each peer in each round: some seconds' worth
	open       func(address string) (loadClient, error)
}

// A loadClient has one connection, with the settings of the target of that name.
type loadClient interface {
	Read(ctx context.Context, key string) (history.Value, error)
	Write(ctx context.Context, key string, value int64) error
	Close() error
}

// BenchmarkLoad compares the harness at full speed, recording included, with
// peers: a bare loop over the client library that the harness calls and, for
// Redis, redis-benchmark. All put the same mix on one server, through as many
// connections: half writes, half reads, on a thousand keys. An iteration is a
// round of all peers, in turns; the ratios are medians of the rounds. What was
// recorded is checked after each round, which is not timed.
//
//	go test ./harness -run '^$' -bench Load -benchtime 5x
func BenchmarkLoad(b *testing.B) {
	b.Run("redis", func(b *testing.B) {
		address := startRedis(b)
		server := loadServer{name: "redis", operations: 100_000, open: openRedis}
		server.compare(b, address, map[string]func() float64{
			"redis-benchmark": func() float64 { return redisBenchmark(b, address, server.operations) },
		})
	})
	b.Run("etcd", func(b *testing.B) {
		server := loadServer{name: "etcd", operations: 30_000, open: openEtcd}
		server.compare(b, startEtcd(b), nil)
	})
}

// compare runs the rounds. Each native benchmark returns operations per second.
func (s loadServer) compare(b *testing.B, address string, native map[string]func() float64) {
	peers := map[string]func() float64{"client-loop": func() float64 { return s.clientLoop(b, address) }}
	maps.Copy(peers, native)
	names := slices.Sorted(maps.Keys(peers))
	var ours []float64
	theirs := map[string][]float64{}
	for b.Loop() {
		for _, name := range names {
			theirs[name] = append(theirs[name], peers[name]())
		}
		ours = append(ours, s.harness(b, address))
	}
	median := func(values []float64) float64 {
		sorted := slices.Sorted(slices.Values(values))
		return sorted[len(sorted)/2]
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ours), "harness/s")
	for _, name := range names {
		var ratios []float64
		for i, perSecond := range theirs[name] {
			ratios = append(ratios, ours[i]/perSecond)
		}
		b.ReportMetric(median(theirs[name]), name+"/s")
		b.ReportMetric(median(ratios), "of-"+name)
	}
}

// startRedis runs a server that ends with the benchmark.
func startRedis(b *testing.B) (address string) {
	address = freeAddress(b)
	_, port, _ := net.SplitHostPort(address)
	startServer(b, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", b.TempDir())
	if _, err := exec.LookPath("redis-benchmark"); err != nil {
		b.Skip(err)
	}
	awaitServer(b, address, openRedis)
	return address
}

// startEtcd runs a member that is its whole cluster and ends with the benchmark.
func startEtcd(b *testing.B) (address string) {
	address = freeAddress(b)
	peers := "http://" + freeAddress(b)
	startServer(b, "etcd", "--data-dir", b.TempDir(), "--logger", "zap", "--log-level", "error",
		"--listen-client-urls", "http://"+address, "--advertise-client-urls", "http://"+address,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers)
	awaitServer(b, address, openEtcd)
	return address
}

func freeAddress(b *testing.B) string {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer free.Close()
	return free.Addr().String()
}

func startServer(b *testing.B, program string, args ...string) {
	if _, err := exec.LookPath(program); err != nil {
		b.Skip(err)
	}
	server := exec.Command(program, args...)
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
}

func awaitServer(b *testing.B, address string, open func(string) (loadClient, error)) {
	client, err := open(address)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.Context(), loadTimeout)
	defer cancel()
	for {
		_, err := client.Read(ctx, "nothing")
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			b.Fatal(err)
		}
	}
}

// redisBenchmark returns operations per second of as many SETs as GETs.
func redisBenchmark(b *testing.B, address string, operations int) float64 {
	_, port, _ := net.SplitHostPort(address)
	out, err := exec.CommandContext(b.Context(), "redis-benchmark", "-p", port, "-c", strconv.Itoa(loadClients),
		"-n", strconv.Itoa(operations/2), "-r", strconv.Itoa(loadKeys), "-d", "8", "-t", "set,get", "--csv").Output()
	if err != nil {
		b.Fatal(err)
	}
	lines, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		b.Fatal(err)
	}
	var seconds float64
	for _, line := range lines[1:] {
		perSecond, err := strconv.ParseFloat(line[1], 64)
		if err != nil {
			b.Fatal(err)
		}
		seconds += float64(operations/2) / perSecond
	}
	flush(b, address) // its values, which are no numbers
	return float64(operations) / seconds
}

// clientLoop returns operations per second of the client library alone.
func (s loadServer) clientLoop(b *testing.B, address string) float64 {
	var clients sync.WaitGroup
	began := time.Now()
	for i := range loadClients {
		clients.Go(func() {
			client, err := s.open(address)
			if err != nil {
				b.Error(err)
				return
			}
			defer client.Close()
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range s.operations / loadClients {
				ctx, cancel := context.WithTimeout(b.Context(), loadTimeout)
				key := loadKey(random)
				var err error
				if random.IntN(2) == 0 {
					err = client.Write(ctx, key, loadValues.Add(1))
				} else {
					_, err = client.Read(ctx, key)
				}
				cancel()
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	return float64(s.operations) / time.Since(began).Seconds()
}

// harness returns operations per second of a trial, and checks it.
func (s loadServer) harness(b *testing.B, address string) float64 {
	loadRound.Add(1) // other keys: these are empty
	_, result, err := harness.Run(b.Context(), harness.Trial{
		Target: harness.Target{
			Name: s.name, World: memoryWorld{}, Program: func(cluster.Place) cluster.Program { return cluster.Program{} },
			Open: func(context.Context, cluster.Cluster, cluster.Node) (harness.Client, error) {
				return s.open(address)
			},
		},
		Workload: load{}, Nodes: 1, Concurrency: loadClients, Rate: -1, Operations: s.operations, Timeout: loadTimeout,
		Quiet: time.Minute, Recovery: time.Millisecond, Seed: 1, Dir: b.TempDir(),
	})
	if err != nil {
		b.Fatal(err)
	}
	if s := result.Statistics; result.Verdict != checker.Valid || s.OK != s.Operations {
		b.Fatalf("%s %s: %d of %d answered", result.Verdict, result.Reason, s.OK, s.Operations)
	}
	return result.Statistics.Before.PerSecond
}

type redisClient struct{ redis *redis.Client }

func openRedis(address string) (loadClient, error) {
	return &redisClient{redis.NewClient(&redis.Options{
		Addr: address, Protocol: 2, PoolSize: 1, PipelinePoolSize: -1, MaxRetries: -1, ContextTimeoutEnabled: true,
		DialTimeout: loadTimeout, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})}, nil
}

func flush(b *testing.B, address string) {
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close()
	if err := client.FlushAll(b.Context()).Err(); err != nil {
		b.Fatal(err)
	}
}

func (c *redisClient) Read(ctx context.Context, key string) (history.Value, error) {
	value, err := c.redis.Get(ctx, key).Int64()
	if errors.Is(err, redis.Nil) {
		return history.Value{}, nil
	}
	return history.Ints(value), err
}

func (c *redisClient) Write(ctx context.Context, key string, value int64) error {
	return c.redis.Set(ctx, key, value, 0).Err()
}

func (c *redisClient) Close() error { return c.redis.Close() }

type etcdClient struct{ etcd *clientv3.Client }

func openEtcd(address string) (loadClient, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + address}, Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	return &etcdClient{client}, nil
}

func (c *etcdClient) Read(ctx context.Context, key string) (history.Value, error) {
	answer, err := c.etcd.Get(ctx, key)
	if err != nil || len(answer.Kvs) == 0 {
		return history.Value{}, err
	}
	value, err := strconv.ParseInt(string(answer.Kvs[0].Value), 10, 64)
	return history.Ints(value), err
}

func (c *etcdClient) Write(ctx context.Context, key string, value int64) error {
	_, err := c.etcd.Put(ctx, key, strconv.FormatInt(value, 10))
	return err
}

func (c *etcdClient) Close() error { return c.etcd.Close() }

// loadRound tells the keys of one round from the next's.
var loadRound atomic.Int64

// loadKey returns a key as long as redis-benchmark's.
func loadKey(random *rand.Rand) string {
	return fmt.Sprintf("key:%04d%08d", loadRound.Load(), random.IntN(loadKeys))
}

// load is the mix, as a workload.
type load struct{}

var loadValues atomic.Int64

func (load) Name() string { return "load" }

func (load) Generators(workers []harness.Worker) []harness.Generator {
	return harness.PerWorker(loadGenerator)(workers)
}

func loadGenerator(worker harness.Worker) harness.Generator {
	return harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) {
		key := loadKey(worker.Rand)
		if worker.Rand.IntN(2) == 0 {
			return history.Operation{Kind: history.Write, Key: key, Input: history.Ints(loadValues.Add(1))}, true
		}
		return history.Operation{Kind: history.Read, Key: key}, true
	})
}

func (load) Final(harness.Worker) harness.Generator { return harness.Each(nil) }

func (load) Bind(client harness.Client) (harness.Invoke, error) {
	c := client.(loadClient)
	return func(ctx context.Context, o history.Operation) (history.Value, error) {
		if o.Kind == history.Write {
			return history.Value{}, c.Write(ctx, o.Key, o.Input.At(0))
		}
		return c.Read(ctx, o.Key)
	}, nil
}

func (load) Check(ctx context.Context, run *history.Run, options checker.Options) checker.Result {
	return checker.Check(ctx, run, checker.Register, options)
}
