package harness_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
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

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	loadClients    = 50 // redis-benchmark's own default
	loadKeys       = 1000
	loadOperations = 100_000 // of each peer in each round
	loadTimeout    = 10 * time.Second
)

// BenchmarkLoad compares the harness at full speed, recording included, with two
// peers: redis-benchmark, and a bare loop over the client library that the
// harness calls. All put the same mix on one redis-server, through as many
// connections: half SET, half GET, on a thousand keys. An iteration is a round of
// all three, in turns; the ratios are medians of the rounds. What was recorded
// is checked after each round, which is not timed.
//
//	go test ./harness -run '^$' -bench Load -benchtime 5x
func BenchmarkLoad(b *testing.B) {
	address := startRedis(b)
	var native, loop, ours []float64
	for b.Loop() {
		native = append(native, redisBenchmark(b, address))
		loop = append(loop, clientLoop(b, address))
		ours = append(ours, harnessLoad(b, address))
	}
	median := func(values []float64) float64 {
		slices.Sort(values)
		return values[len(values)/2]
	}
	ratios := func(peer []float64) []float64 {
		var all []float64
		for i := range peer {
			all = append(all, ours[i]/peer[i])
		}
		return all
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ratios(native)), "of-redis-benchmark")
	b.ReportMetric(median(ratios(loop)), "of-client-loop")
	b.ReportMetric(median(native), "redis-benchmark/s")
	b.ReportMetric(median(loop), "client-loop/s")
	b.ReportMetric(median(ours), "harness/s")
}

// startRedis runs a server that ends with the benchmark.
func startRedis(b *testing.B) (address string) {
	for _, program := range []string{"redis-server", "redis-benchmark"} {
		if _, err := exec.LookPath(program); err != nil {
			b.Skip(err)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address = free.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	if err := free.Close(); err != nil {
		b.Fatal(err)
	}
	server := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", b.TempDir())
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	for client.Ping(ctx).Err() != nil {
		if ctx.Err() != nil {
			b.Fatal("redis-server does not answer")
		}
	}
	return address
}

// redisBenchmark returns operations per second of as many SETs as GETs.
func redisBenchmark(b *testing.B, address string) float64 {
	_, port, _ := net.SplitHostPort(address)
	out, err := exec.CommandContext(b.Context(), "redis-benchmark", "-p", port, "-c", strconv.Itoa(loadClients),
		"-n", strconv.Itoa(loadOperations/2), "-r", strconv.Itoa(loadKeys), "-d", "8", "-t", "set,get", "--csv").Output()
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
		seconds += loadOperations / 2 / perSecond
	}
	return loadOperations / seconds
}

// clientLoop returns operations per second of the client library alone.
func clientLoop(b *testing.B, address string) float64 {
	flush(b, address)
	var clients sync.WaitGroup
	began := time.Now()
	for i := range loadClients {
		clients.Go(func() {
			client := openRedis(address)
			defer client.Close()
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for n := range loadOperations / loadClients {
				ctx, cancel := context.WithTimeout(b.Context(), loadTimeout)
				key := loadKey(random)
				var err error
				if random.IntN(2) == 0 {
					err = client.Write(ctx, key, int64(n))
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
	return loadOperations / time.Since(began).Seconds()
}

// harnessLoad returns operations per second of a trial, and checks it.
func harnessLoad(b *testing.B, address string) float64 {
	flush(b, address)
	_, result, err := harness.Run(b.Context(), harness.Trial{
		Target: harness.Target{
			Name: "redis", World: memoryWorld{}, Program: func(cluster.Place) cluster.Program { return cluster.Program{} },
			Open: func(context.Context, cluster.Cluster, cluster.Node) (harness.Client, error) {
				return openRedis(address), nil
			},
		},
		Workload: load{}, Nodes: 1, Concurrency: loadClients, Rate: -1, Operations: loadOperations, Timeout: loadTimeout,
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

// A redisClient has one connection, with the settings of the target redis.
type redisClient struct{ redis *redis.Client }

func openRedis(address string) *redisClient {
	return &redisClient{redis.NewClient(&redis.Options{
		Addr: address, Protocol: 2, PoolSize: 1, PipelinePoolSize: -1, MaxRetries: -1, ContextTimeoutEnabled: true,
		DialTimeout: loadTimeout, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})}
}

// flush takes away the peers' values, which are no numbers.
func flush(b *testing.B, address string) {
	client := openRedis(address)
	defer client.Close()
	if err := client.redis.FlushAll(b.Context()).Err(); err != nil {
		b.Fatal(err)
	}
}

func (c *redisClient) Read(ctx context.Context, key string) (history.Value, error) {
	value, err := c.redis.Get(ctx, key).Int64()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return history.Value{value}, err
}

func (c *redisClient) Write(ctx context.Context, key string, value int64) error {
	return c.redis.Set(ctx, key, value, 0).Err()
}

func (c *redisClient) Close() error { return c.redis.Close() }

func loadKey(random *rand.Rand) string { return fmt.Sprintf("key:%012d", random.IntN(loadKeys)) }

// load is the mix, as a workload.
type load struct{}

var loadValues atomic.Int64

func (load) Name() string { return "load" }

func (load) Generator(worker harness.Worker) harness.Generator {
	return harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) {
		key := loadKey(worker.Rand)
		if worker.Rand.IntN(2) == 0 {
			return history.Operation{Kind: history.Write, Key: key, Input: history.Value{loadValues.Add(1)}}, true
		}
		return history.Operation{Kind: history.Read, Key: key}, true
	})
}

func (load) Final(harness.Worker) harness.Generator { return harness.Each(nil) }

func (load) Bind(client harness.Client) (harness.Invoke, error) {
	c := client.(*redisClient)
	return func(ctx context.Context, o history.Operation) (history.Value, error) {
		if o.Kind == history.Write {
			return nil, c.Write(ctx, o.Key, o.Input[0])
		}
		return c.Read(ctx, o.Key)
	}, nil
}

func (load) Check(ctx context.Context, run *history.Run, options checker.Options) checker.Result {
	return checker.Check(ctx, run, checker.Register, options)
}
