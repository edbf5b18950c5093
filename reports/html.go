package reports

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var styleSource string

var style = template.CSS(styleSource + tints())

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// Write makes report.html in a run directory, from the rest of it. A report
// that is there already is replaced whole, or not at all.
func Write(dir string) error {
	run, err := history.ReadRun(dir)
	if err != nil {
		return err
	}
	result, err := readResult(filepath.Join(dir, history.ResultFile))
	if err != nil {
		return err
	}
	return WriteRun(run, result)
}

// WriteRun makes report.html in the run's directory, of what has been read already.
func WriteRun(run *history.Run, result checker.Result) error {
	path := filepath.Join(run.Dir, history.ReportFile)
	page, err := newPage(enter(Entry{run, result}))
	if err != nil {
		return fmt.Errorf("report %s: %w", path, err)
	}
	return page.write(path)
}

// WriteComparison makes report.html and comparison.json in a directory, as Write
// does. The page shows one run of each system, which it reads from the run's
// directory, and links to the reports of all.
func WriteComparison(dir string, c Comparison) error {
	if err := history.WriteJSON(filepath.Join(dir, ComparisonFile), c); err != nil {
		return err
	}
	path := filepath.Join(dir, history.ReportFile)
	page, err := newComparisonPage(path, c)
	if err != nil {
		return fmt.Errorf("report %s: %w", path, err)
	}
	return page.write(path)
}

// readResult refuses what no checker wrote.
func readResult(path string) (checker.Result, error) {
	const limit = 64 << 20 // a thousand times what a checker writes
	file, err := os.Open(path)
	if err != nil {
		return checker.Result{}, fmt.Errorf("%w (rashomon check makes it)", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return checker.Result{}, err
	}
	if len(text) > limit {
		return checker.Result{}, fmt.Errorf("%s: larger than %d bytes; no check writes so much", path, limit)
	}
	var result checker.Result
	if err := json.Unmarshal(text, &result); err != nil {
		return checker.Result{}, fmt.Errorf("%s: not a result (rashomon check makes it anew): %w", path, err)
	}
	if !slices.Contains([]checker.Verdict{checker.Valid, checker.Invalid, checker.Unknown}, result.Verdict) {
		return checker.Result{}, fmt.Errorf("%s: verdict %q is none of valid, invalid and unknown (rashomon check makes it anew)", path, Clean(string(result.Verdict), 20))
	}
	return result, nil
}

// write puts the page next to path and renames it, so that nobody sees half.
func (p page) write(path string) error {
	var content bytes.Buffer
	if err := pageTemplate.Execute(&content, p); err != nil {
		return fmt.Errorf("report %s: %w", path, err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".report-*.html")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content.Bytes())
	err = cmp.Or(err, temporary.Chmod(fs.FileMode(0o644)), temporary.Close())
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}

// The types below are what page.html shows, every text of them clean.

type page struct {
	Title      string
	Style      template.CSS
	Comparison *comparisonView // nil on the page of a single run
	Systems    []system
}

type comparisonView struct {
	Trade     template.HTML // a chart
	Tables    []table
	Hint      string
	Untried   []string
	Schedules []scheduleView
	More      string
	Command   string
}

type scheduleView struct {
	Line   string
	Header []string
	Rows   [][]string
	More   string
}

type system struct {
	Name, Subtitle string
	Line, Mood     string
	Notes          []string
	Figures        [][]string // of a single run: pairs
	Violations     []violation
	More           string
	Chart          template.HTML
	Stale          template.HTML
	Slice          string // of the chart's time axis
	Services       []serviceRow
	Errors         [][]string
	Events         []eventRow
	MoreEvents     string
	Command, Dir   string
	Reports        []reportLink // from a comparison
}

type reportLink struct{ Name, Link string }

func (t table) Title() string    { return t.title }
func (t table) Header() []string { return t.header }
func (t table) Rows() [][]string { return t.rows }

type violation struct {
	Anomaly, Sentence string
	Open              bool
	Timeline          *timeline
	Witness           []operationRow
	Neighbours        []operationRow
	Around            string // what Neighbours are
	More              string // of the witness than is shown
}

type operationRow struct{ Interval, Client, Call, Outcome string }

type eventRow struct {
	Time, Type, Hue, Fault, What, Links, Took string
}

type serviceRow struct {
	Name, Operations, Availability, PerSecond, Latency string
}

func newPage(entry entry) (page, error) {
	s, err := newSystem(entry, checker.MaxViolations)
	if err != nil {
		return page{}, fmt.Errorf("%s: %w", entry.name(), err)
	}
	s.Figures = rows(entry)
	return page{Title: entry.name() + ": " + entry.Result.Judgement(), Style: style, Systems: []system{s}}, nil
}

func newComparisonPage(path string, c Comparison) (page, error) {
	trade, err := tradeChart(c)
	if err != nil {
		return page{}, err
	}
	view := comparisonView{Trade: trade, Tables: tables(c), Hint: c.hint(), Untried: c.untried(), Command: c.Command}
	for i, schedule := range c.Schedules {
		if i == maxSeeds {
			view.More = fmt.Sprintf("… and %s, in %s.", counted(len(c.Schedules)-maxSeeds, "more seed"), ComparisonFile)
			break
		}
		view.Schedules = append(view.Schedules, newScheduleView(schedule, c.Systems))
	}
	p := page{Title: "comparison", Style: style, Comparison: &view}
	for _, of := range c.Systems {
		if len(of.Runs) == 0 {
			continue
		}
		shown := of.shown
		if from := shown.unclean.Run; len(from.History.Operations) == 0 && from.Dir != "" {
			run, err := history.ReadRun(from.Dir)
			if err != nil {
				return page{}, err
			}
			shown = enter(Entry{run, shown.unclean.Result})
		}
		s, err := newSystem(shown, compareViolations)
		if err != nil {
			return page{}, fmt.Errorf("%s: %w", of.Name, err)
		}
		for i, run := range of.Runs {
			if to := link(path, run.Dir); to != "" && i < maxLinks {
				s.Reports = append(s.Reports, reportLink{fmt.Sprintf("seed %d", run.Seed), to})
			}
		}
		p.Systems = append(p.Systems, s)
	}
	return p, nil
}

func newScheduleView(s Schedule, systems []System) scheduleView {
	view := scheduleView{Line: s.line(), Header: []string{"", "planned at", "fault"}}
	for _, system := range systems {
		view.Header = append(view.Header, system.Name)
	}
	for i, f := range s.Faults {
		if i == maxEvents {
			view.More = fmt.Sprintf("… and %s, in %s.", counted(len(s.Faults)-maxEvents, "more fault"), ComparisonFile)
			break
		}
		view.Rows = append(view.Rows, append([]string{"#" + strconv.Itoa(f.Number), fmt.Sprintf("%.3f s", f.At.Seconds()), f.Fault}, f.Became...))
	}
	return view
}

// link leads from the page at path to the report of a run directory.
func link(path, dir string) string {
	if dir == "" {
		return ""
	}
	relative, err := filepath.Rel(filepath.Dir(path), filepath.Join(dir, history.ReportFile))
	if err != nil {
		return ""
	}
	return (&url.URL{Path: "./" + filepath.ToSlash(relative)}).String()
}

func newSystem(e entry, limit int) (system, error) {
	chart, err := chart(e)
	if err != nil {
		return system{}, err
	}
	stale, err := staleChart(e.Result.Staleness)
	if err != nil {
		return system{}, err
	}
	manifest, measured := e.Run.Manifest, e.Result.Statistics
	s := system{
		Name: e.name(), Subtitle: subtitle(manifest), Line: verdictLine(e), Mood: mood(e.Result), Notes: notes(e),
		Chart: chart, Stale: stale, Services: services(measured), Errors: errorRows(measured.Errors),
		Command: manifest.Command, Dir: e.Run.Dir,
	}
	if len(measured.Series) > 0 {
		_, step := thin(measured.Series, measured.SeriesStep, maxPoints)
		s.Slice = duration(step)
	}
	faults := faults(e.Run.Events, end(e))
	violations, all := e.violations(limit)
	for i, v := range violations {
		s.Violations = append(s.Violations, newViolation(v, faults, i == 0))
	}
	if more := all - len(violations); more > 0 {
		s.More = fmt.Sprintf("… and %s.", counted(more, "more violation"))
	}
	for i, event := range e.Run.Events {
		if i == maxEvents {
			s.MoreEvents = fmt.Sprintf("… and %s, in nemesis.jsonl.", counted(len(e.Run.Events)-maxEvents, "more event"))
			break
		}
		s.Events = append(s.Events, newEvent(event))
	}
	return s, nil
}

// subtitle is what was tried, in a line.
func subtitle(m history.Manifest) string {
	parts := []string{
		"workload " + m.Workload, "nemesis " + m.Nemesis, "world " + m.World,
		counted(len(m.Nodes), "node"), counted(m.Concurrency, "client"), "seed " + strconv.FormatUint(m.Seed, 10),
	}
	if !m.Started.IsZero() {
		parts = append(parts, m.Started.UTC().Format(time.DateTime)+" UTC")
	}
	return strings.Join(parts, " · ")
}

// mood is the verdict's colour: a class of page.css.
func mood(result checker.Result) string {
	switch {
	case result.AsClaimed == checker.NotAsClaimed:
		return "bad"
	case result.AsClaimed != checker.AsClaimed || result.Verdict == checker.Unknown || result.Vacuous != "":
		return "undecided"
	case result.Verdict == checker.Invalid:
		return "expected"
	}
	return "good"
}

func newViolation(v told, faults []fault, open bool) violation {
	shown := violation{Anomaly: v.Title(), Sentence: v.Sentence, Open: open, More: v.more()}
	if len(v.Witness) == 0 {
		return shown
	}
	near, total := v.neighbours()
	drawn := newTimeline(v.Witness, near, v.Elements, faults)
	shown.Timeline = &drawn
	shown.Witness, shown.Neighbours = operationRows(v.Witness, v.Elements), operationRows(near, v.Elements)
	shown.Around = counted(total, "operation") + " on the same key around them"
	if len(near) < total {
		shown.Around = fmt.Sprintf("the %d nearest of %s", len(near), shown.Around)
	}
	return shown
}

func operationRows(operations []history.Operation, about []int64) []operationRow {
	var all []operationRow
	for _, o := range operations {
		all = append(all, operationRow{interval(o), client(o), call(o, about), outcome(o)})
	}
	return all
}

func newEvent(event history.Event) eventRow {
	row := eventRow{Time: fmt.Sprintf("%.3f s", event.Time.Seconds()), Type: string(event.Type), What: describe(event)}
	if event.Family != "" {
		row.Hue = hue(event.Family)
	}
	switch event.Type {
	case history.PhaseBegins:
		row.What = "phase " + string(event.Phase) + " begins"
	case history.Crash:
		row.Hue = crash
	case history.Unserved:
		row.What += " did not serve"
	}
	if event.Reason != "" {
		row.What = strings.TrimPrefix(row.What+": ", ": ") + event.Reason
	}
	if event.Fault > 0 {
		row.Fault = "#" + strconv.Itoa(event.Fault)
	}
	row.Links = foremost(event.Links, " ")
	if event.Took > 0 {
		row.Took = duration(event.Took)
	}
	return row
}

// services are the same figures for each kind and for each node alone.
func services(s statistics.Statistics) []serviceRow {
	var all []serviceRow
	add := func(name string, s statistics.Service) {
		if len(all) < maxServices {
			all = append(all, serviceRow{name, count(s.Operations), availability(s), fmt.Sprintf("%.1f", s.PerSecond), latency(s)})
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(s.Kinds)) {
		add(string(kind), s.Kinds[kind])
	}
	for _, node := range slices.Sorted(maps.Keys(s.Nodes)) {
		add("through "+node, s.Nodes[node])
	}
	return all
}
