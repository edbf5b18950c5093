package images

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// The equivalents are built unless they are present already, and stay.
func TestEquivalentsRun(t *testing.T) {
	engine := realEngine(t)
	for _, test := range []struct {
		image   string
		command []string // nil for the image's own
		execute []string // in the running container; nil for none
		want    string
	}{
		{image: "redis:7", execute: []string{"redis-cli", "-h", "127.0.0.1", "ping"}, want: "PONG"},
		{image: "redis:7", execute: []string{"sh", "-c", `redis-cli -h "$HOSTNAME" ping`}, want: "PONG"}, // names resolve, strangers are welcome
		{image: "redis:7", command: []string{"redis-sentinel", "--version"}, want: "Redis server v="},
		{image: "quay.io/coreos/etcd:v3.5.21", execute: []string{"etcdctl", "endpoint", "health"}, want: "is healthy"},
		{image: "eclipse-temurin:17-jre", command: []string{"java", "-version"}, want: "OpenJDK Runtime Environment"},
		{image: "zookeeper:3.8", command: []string{"java", "-cp", "/usr/share/java/zookeeper.jar", "org.apache.zookeeper.version.VersionInfoMain"}, want: "Apache ZooKeeper, version 3.8."},
	} {
		t.Run(test.image+" "+strings.Join(append(test.command, test.execute...), " "), func(t *testing.T) {
			local := equivalent(t, engine, definition(t, test.image))
			out := try(t, engine, local, test.command, test.execute, test.want)
			if !strings.Contains(out, test.want) {
				t.Errorf("printed %q, want %q in it", out, test.want)
			}
		})
	}
}

func TestEnsureAgainIsImmediate(t *testing.T) {
	engine := realEngine(t)
	equivalent(t, engine, definition(t, "redis:7"))
	var images []string
	for range 2 {
		start := time.Now()
		image, err := Ensure(t.Context(), engine, "redis:7", t.Output())
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("Ensure took %v although the image was there", took)
		}
		images = append(images, image)
	}
	if images[0] != images[1] || !(images[0] == "redis:7" || images[0] == definition(t, "redis:7").Local()) {
		t.Errorf("images are %q", images)
	}
}

func TestLocalChangesWithDefinition(t *testing.T) {
	valid := regexp.MustCompile(`^rashomon/[a-z-]+:local-[0-9a-f]{8}$`)
	seen := map[string]bool{}
	for _, d := range List() {
		other := d
		other.Command = []string{"another"}
		more := d
		more.Packages = append(slices.Clone(d.Packages), "another")
		own := d.Local()
		for _, local := range []string{own, other.Local(), more.Local()} {
			if !valid.MatchString(local) || seen[local] {
				t.Errorf("%s: %s is not a reference of its own", d.Image, local)
			}
			seen[local] = true
		}
		if again := d.Local(); again != own {
			t.Errorf("%s: its reference changes by itself, to %s", d.Image, again)
		}
	}
}

func TestConsole(t *testing.T) {
	var steps []string
	c := console{say: func(step string) { steps = append(steps, step) }}
	for _, text := range []string{
		"I: automatically chosen mode: root\nI: extracting ", "archives...\n",
		"Reading package lists...\nE: Unable to locate package x\nE: mmdebstrap failed to run\n",
		strings.Repeat("x", 1<<20), "\nI: cleaning...\nI: unfinished...",
	} {
		if n, err := io.WriteString(&c, text); n != len(text) || err != nil {
			t.Fatalf("Write returned %d, %v", n, err)
		}
	}
	if diff := cmp.Diff([]string{"extracting archives...", "cleaning..."}, steps); diff != "" {
		t.Error(diff)
	}
	if c.complaint != "Unable to locate package x" {
		t.Errorf("complaint is %q", c.complaint)
	}
}

// A fake engine has no image, and answers a pull as told.
func TestPull(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   string // in the error; empty for none
	}{
		{"success", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, `{"status":"Downloading","id":"a","progressDetail":{"current":10,"total":20}}`)
			fmt.Fprintln(w, `{"status":"Status: Downloaded newer image"}`)
		}, ""},
		{"refused", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintln(w, "no such host")
		}, "no such host"},
		{"broken half-way", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, `{"status":"Downloading","id":"a"}`)
			fmt.Fprintln(w, `{"errorDetail":{"message":"unexpected EOF"}}`)
		}, "unexpected EOF"},
		{"silent", hang, "no progress for 100ms"},
		{"silent half-way", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, `{"status":"Downloading","id":"a"}`)
			w.(http.Flusher).Flush()
			hang(w, r)
		}, "no progress for 100ms"},
		{"garbage", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "<html>") }, "invalid character"},
	} {
		t.Run(test.name, func(t *testing.T) {
			patience := time.Minute
			if strings.HasPrefix(test.want, "no progress") {
				patience = 100 * time.Millisecond
			}
			err := pull(t.Context(), fakeEngine(t, test.answer), "some:1", patience, quiet)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

func TestErrorsSayWhatWasTried(t *testing.T) {
	pulls := 0
	engine := fakeEngine(t, func(w http.ResponseWriter, _ *http.Request) {
		pulls++
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintln(w, "no such host")
	})
	t.Setenv("PATH", t.TempDir()) // where nothing is
	for _, test := range []struct{ image, want string }{
		{"no-such-image:1", "image no-such-image:1: not pulled (Error response from daemon: no such host), and no local equivalent is known; bring it here with docker save and docker load"},
		{"redis:7", "image redis:7: neither pulled (Error response from daemon: no such host) nor built (mmdebstrap is not installed: apt-get install mmdebstrap)"},
	} {
		t.Cleanup(func() { refusals.Delete(test.image) })
		before := pulls
		for range 2 {
			_, err := Ensure(t.Context(), engine, test.image, io.Discard)
			if err == nil || err.Error() != test.want {
				t.Errorf("error is\n%v, want\n%s", err, test.want)
			}
		}
		if pulls != before+1 {
			t.Errorf("%s: %d attempts to pull, want one that is remembered", test.image, pulls-before)
		}
	}
}

func TestNoEngine(t *testing.T) {
	engine, err := client.New(client.WithHost("unix://" + t.TempDir() + "/none.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	_, err = Ensure(t.Context(), engine, "redis:7", io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "image redis:7: failed to connect to the docker API") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error is %v", err)
	}
}

func quiet(string) {}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// fakeEngine has no images, and pull answers each attempt to get one.
func fakeEngine(t *testing.T, pull http.HandlerFunc) *client.Client {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1.41/images/create", pull)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	engine, err := client.New(client.WithHost("tcp://"+server.Listener.Addr().String()), client.WithAPIVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	return engine
}

func realEngine(t *testing.T) *client.Client {
	engine, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	if _, err := engine.Ping(t.Context(), client.PingOptions{}); err != nil {
		t.Skipf("no Docker engine: %v", err)
	}
	return engine
}

func definition(t *testing.T, image string) Definition {
	definitions := List()
	which := slices.IndexFunc(definitions, func(d Definition) bool { return d.Image == image })
	if which < 0 {
		t.Fatalf("no definition of %s", image)
	}
	return definitions[which]
}

// equivalent builds the image unless it is present.
func equivalent(t *testing.T, engine *client.Client, d Definition) string {
	found, err := present(t.Context(), engine, d.Local())
	if err != nil {
		t.Fatal(err)
	}
	if found {
		return d.Local()
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		t.Skip("mmdebstrap is not installed")
	}
	err = build(t.Context(), engine, d, func(step string) { t.Log(step) })
	if err != nil && strings.Contains(err.Error(), "mmdebstrap may not unpack here") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d.Local()
}

// try runs a container of the image and returns what it prints, or what a
// command that is executed in it prints once that contains want.
func try(t *testing.T, engine *client.Client, image string, command, execute []string, want string) string {
	ctx := t.Context()
	created, err := engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: image, Cmd: command, Labels: map[string]string{"io.rashomon.images.test": "1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := engine.ContainerRemove(context.WithoutCancel(ctx), created.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			t.Error(err)
		}
	}()
	if _, err := engine.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	if execute == nil {
		logs, err := engine.ContainerLogs(ctx, created.ID, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		defer logs.Close()
		return demultiplex(t, logs)
	}

	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-poll.C {
		created, err := engine.ExecCreate(ctx, created.ID, client.ExecCreateOptions{Cmd: execute, AttachStdout: true, AttachStderr: true})
		if err != nil {
			t.Fatal(err)
		}
		attached, err := engine.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out := demultiplex(t, attached.Reader)
		attached.Close()
		if strings.Contains(out, want) || time.Now().After(deadline) {
			return out
		}
	}
}

func demultiplex(t *testing.T, stream io.Reader) string {
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, stream); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
