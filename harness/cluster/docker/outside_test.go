package docker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a user has: a module that requires this one, and its test.
var outside = map[string]string{
	"go.mod": `module example.com/outside

go %s

require github.com/rashomon-io/rashomon v0.0.0

replace github.com/rashomon-io/rashomon => %s
`,
	"main_test.go": `package outside

import (
	"os"
	"testing"

	"github.com/rashomon-io/rashomon/harness/cluster/docker"
)

func TestMain(m *testing.M) {
	docker.Main()
	os.Exit(m.Run())
}
`,
	"outside_test.go": `package outside

import (
	"testing"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/docker"
)

func TestCluster(t *testing.T) {
	c, err := docker.World().Build(t.Context(), cluster.Spec{
		Nodes: cluster.Names(1), Logs: t.TempDir(), Faults: []cluster.Fault{cluster.CutFault},
		Program: func(cluster.Place) cluster.Program { return cluster.Program{Args: []string{"holder"}} },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	if got := c.State("n1"); got != cluster.Running {
		t.Error(got)
	}
}
`,
}

// writeOutside makes the module in a directory.
func writeOutside(t *testing.T, dir string) {
	t.Helper()
	root, err := sources(t.Context())
	must(t, err)
	for name, text := range outside {
		if name == "go.mod" {
			text = fmt.Sprintf(text, strings.TrimPrefix(runtime.Version(), "go"), root)
		}
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
}

// outsideTimeout bounds go test of the module, which compiles what no cache has.
const outsideTimeout = 5 * time.Minute

// goTest is the user's go test, with a cache of its own for what it has built for
// containers.
func goTest(ctx context.Context, t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	goCache, err := exec.Command("go", "env", "GOCACHE").Output()
	must(t, err)
	ctx, cancel := context.WithTimeout(ctx, outsideTimeout)
	t.Cleanup(cancel)
	tool := exec.CommandContext(ctx, "go", append([]string{"test", "-mod=mod", "-vet=off", "-count=1"}, args...)...)
	tool.Dir = dir
	tool.Env = append(os.Environ(), "CGO_ENABLED=1", "GOWORK=off", "GOFLAGS=",
		"GOCACHE="+strings.TrimSpace(string(goCache)), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"))
	tool.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	tool.Cancel = func() error { return syscall.Kill(-tool.Process.Pid, syscall.SIGKILL) }
	return tool
}

// A module of somebody else can use this world, and is told in a line what it
// forgot.
func TestOutsideModule(t *testing.T) {
	needEngine(t)
	if testing.Short() {
		t.Skip("compiles for minutes at the first time")
	}
	dir := t.TempDir()
	writeOutside(t, dir)
	if output, err := goTest(t.Context(), t, dir).CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, output)
	}
	must(t, os.Remove(filepath.Join(dir, "main_test.go")))
	output, err := goTest(t.Context(), t, dir).CombinedOutput()
	if want := "cannot build a cluster of containers: " + errNoMain.Error() + "\n"; err == nil || !strings.Contains(string(output), want) {
		t.Errorf("without TestMain: %v:\n%s", err, output)
	}
}
