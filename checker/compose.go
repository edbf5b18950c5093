package checker

import (
	"cmp"
	"context"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A Part is one of the named verdicts of a Result.
type Part struct {
	Name    string  `json:"name"` // the model's
	Verdict Verdict `json:"verdict"`
	// Reason says why the verdict is unknown, or else what else is.
	Reason string `json:"reason,omitempty"`
}

// Compose is several models as one: a history is held against each, and the worst
// verdict decides: invalid, then unknown, then valid. Result.Parts has the verdict of
// each model by its name. What a Result counts, such as its stale reads, is of the
// first. The models share the time, each as much as those after it.
func Compose(model Model, others ...Model) Model {
	if len(others) == 0 {
		return model
	}
	var parts []Model
	for _, m := range append([]Model{model}, others...) {
		if m.parts != nil {
			parts = append(parts, m.parts...)
		} else {
			parts = append(parts, m)
		}
	}
	return Model{name: model.name, parts: parts, judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
		judgePart(ctx, len(others)+1, model, run, options, result)
		for i, other := range others {
			part := Result{Verdict: Valid}
			judgePart(ctx, len(others)-i, other, run, options, &part)
			result.join(part)
		}
	}}
}

// judgePart makes a result of one part, in its share of the time.
func judgePart(ctx context.Context, parts int, model Model, run *history.Run, options Options, result *Result) {
	ctx, cancel := court.Share(ctx, parts)
	defer cancel()
	model.decide(ctx, run, options, result)
	if len(result.Parts) > 0 {
		return // of a composed model
	}
	result.Parts = []Part{{model.name, result.Verdict, result.Reason}}
	if result.Verdict == Unknown {
		result.KeysUnknown = max(result.KeysUnknown, 1) // also where another part is invalid
	}
	for i := range result.Violations {
		result.Violations[i].Part = model.name
	}
}

// join takes the findings of further parts in.
func (r *Result) join(part Result) {
	severity := map[Verdict]int{Valid: 0, Unknown: 1, Invalid: 2}
	if severity[part.Verdict] > severity[r.Verdict] {
		r.Verdict = part.Verdict
	}
	if part.FirstViolation > 0 && (r.FirstViolation == 0 || part.FirstViolation < r.FirstViolation) {
		r.FirstViolation = part.FirstViolation
	}
	r.Reason = cmp.Or(r.Reason, part.Reason)
	r.Parts = append(r.Parts, part.Parts...)
	r.Violations = append(r.Violations, part.Violations...)
	r.Decisions = append(r.Decisions, part.Decisions...)
	r.Keys += part.Keys
	r.KeysInvalid += part.KeysInvalid
	r.KeysUnknown += part.KeysUnknown
}

// Function is the engine of a ModelFunc.
const Function Engine = "function"

// ModelFunc is a model that a function of a user's own decides. The function returns
// what is wrong with a run, each with a sentence and the operations that show it; an
// error means that it cannot tell, as when its context has ended. Nobody checks what it
// says again. A violation without an Anomaly gets the model's name, which no claim
// admits.
func ModelFunc(name string, check func(context.Context, *history.Run) ([]anomaly.Violation, error)) Model {
	return Model{name: name, function: true, judge: func(ctx context.Context, run *history.Run, _ Options, result *Result) {
		violations, err := check(ctx, run)
		answer := model.NewAnswer()
		answer.Keys = 1
		answer.Decided(string(Function), name, "")
		for _, v := range violations {
			v.Anomaly = cmp.Or(v.Anomaly, anomaly.Name(name))
			answer.First = min(answer.First, max(v.At(), 1))
			answer.Violations = append(answer.Violations, v)
			answer.KeysInvalid = 1
		}
		if err != nil {
			answer.KeysUnknown, answer.Reason = 1, name+": "+err.Error()
		}
		result.take(answer)
	}}
}
