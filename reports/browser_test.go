package reports

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	dialogs "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A visit is what Chromium saw and did when it opened a page.
type visit struct {
	Title, Text string
	// Violations and Bars count the drawings of witnesses; Intruders are
	// elements that the template does not have.
	Violations, Bars, Intruders int
	// Overflow is how many pixels the page is wider than the window.
	Overflow int
	// Askew are the words of charts that are cut off, or lie upon others.
	Askew []string

	requests []string // of anything but the page itself
	trouble  []string // errors, breaches of the policy, dialogs
}

const look = `({
	Title:      document.title,
	Text:       document.body.innerText,
	Violations: document.querySelectorAll("details.violation").length,
	Bars:       document.querySelectorAll("svg.timeline .bar.witness").length,
	Intruders:  document.querySelectorAll("script,img,iframe,object,embed,link,form,[onerror]").length,
	Overflow:   document.documentElement.scrollWidth - document.documentElement.clientWidth,
	Askew: [...document.querySelectorAll("svg.chart")].flatMap(chart => {
		const slack = 1 // of a line's height, which is more than its letters
		const frame = chart.getBoundingClientRect()
		const words = [...chart.querySelectorAll("text")].map(e => ({text: e.textContent, box: e.getBoundingClientRect()}))
		const cut = words.filter(({box}) => box.left + slack < frame.left || box.right > frame.right + slack)
		const upon = words.filter((a, i) => words.some((b, j) => i < j && a.box.left + slack < b.box.right && b.box.left + slack < a.box.right &&
			a.box.top + slack < b.box.bottom && b.box.top + slack < a.box.bottom))
		return [...cut, ...upon].map(({text}) => text)
	}),
})`

// open opens the file in a Chromium, which has ended when it returns.
func open(t *testing.T, path string) visit {
	t.Helper()
	var binary string
	for _, name := range []string{"google-chrome-stable", "google-chrome", "chromium-browser", "chromium"} {
		if found, err := exec.LookPath(name); err == nil {
			binary = found
		}
	}
	if binary == "" {
		t.Skip("no chromium, chromium-browser or google-chrome in PATH")
	}
	bounded, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// Chromium's own sandbox needs more than a container gives to root.
	allocator, cancel := chromedp.NewExecAllocator(bounded, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(binary), chromedp.NoSandbox, chromedp.DisableGPU)...)
	defer cancel()

	address := (&url.URL{Scheme: "file", Path: path}).String()
	var mu sync.Mutex
	var requests, trouble []string
	browser, cancel := chromedp.NewContext(allocator, chromedp.WithListener(func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch event := event.(type) {
		case *network.EventRequestWillBeSent:
			if event.Request.URL != address {
				requests = append(requests, event.Request.URL)
			}
		case *runtime.EventConsoleAPICalled:
			trouble = append(trouble, "console "+string(event.Type))
		case *runtime.EventExceptionThrown:
			trouble = append(trouble, "exception "+event.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			trouble = append(trouble, "log "+event.Entry.Text)
		case *dialogs.EventJavascriptDialogOpening:
			trouble = append(trouble, "dialog "+event.Message)
		}
	}))
	defer cancel()
	if err := chromedp.Do(browser, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	seen, err := chromedp.Run(browser, chromedp.Evaluate[visit](look))
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	seen.requests, seen.trouble = requests, trouble
	return seen
}

func TestPageInChromium(t *testing.T) {
	stale, spoilt := staleRaft(), hostileEntry(hostile)
	tight := staleRaft() // where words have little space
	last := len(tight.Run.Events) - 1
	tight.Run.Events[last-1].Time, tight.Run.Events[last].Time = 20250*ms, 20300*ms // final, done
	tight.Result.Staleness.Ages = []int{0, 0, 1, 0, 0, 0, 0, 1, 11, 2, 1}
	tests := []struct {
		name       string
		entries    []Entry
		title      string
		verdicts   []string
		violations int
	}{
		{"run", []Entry{stale}, "raft reads=local: INVALID, as claimed – Rashomon", []string{verdictLine(enter(stale))}, 2},
		{"comparison", append([]Entry{stale}, others()...), "comparison – Rashomon",
			[]string{verdictLine(enter(stale)), "raft: valid, as claimed", "lww: VACUOUS, no pass", "async: unknown"}, 3},
		{"tight", []Entry{tight}, "raft reads=local: INVALID, as claimed – Rashomon", []string{verdictLine(enter(tight))}, 2},
		{"hostile", []Entry{spoilt}, enter(spoilt).name() + ": " + enter(spoilt).Result.Judgement() + " – Rashomon", []string{verdictLine(enter(spoilt))}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "page.html")
			writePage(t, path, test.entries)
			seen := open(t, path)
			if len(seen.requests) > 0 || len(seen.trouble) > 0 {
				t.Errorf("the page asked for %q and caused %q", seen.requests, seen.trouble)
			}
			if seen.Title != test.title {
				t.Errorf("title %q, want %q", seen.Title, test.title)
			}
			for _, verdict := range test.verdicts {
				if !strings.Contains(seen.Text, verdict) {
					t.Errorf("%q is not to be seen in\n%s", verdict, seen.Text)
				}
			}
			if seen.Violations != test.violations || seen.Bars != 3*test.violations {
				t.Errorf("%d violations with %d operations, want %d with 3 each", seen.Violations, seen.Bars, test.violations)
			}
			if seen.Intruders > 0 || seen.Overflow > 0 {
				t.Errorf("%d elements that the template does not have; %d pixels too wide", seen.Intruders, seen.Overflow)
			}
			if len(seen.Askew) > 0 {
				t.Errorf("words of charts are cut off, or upon others: %q", seen.Askew)
			}
		})
	}
}

// TestVisitSeesTrouble plants what TestPageInChromium must notice.
func TestVisitSeesTrouble(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	planted := `<body><img src="other.png"><script>console.error("planted")</script><script>undefined.planted</script>`
	if err := os.WriteFile(path, []byte(planted), 0o644); err != nil {
		t.Fatal(err)
	}
	seen := open(t, path)
	if len(seen.requests) != 1 || seen.Intruders != 3 || !slices.Contains(seen.trouble, "console error") || !slices.Contains(seen.trouble, "exception Uncaught") {
		t.Errorf("noticed the requests %q, the trouble %q and %d intruders", seen.requests, seen.trouble, seen.Intruders)
	}
}
