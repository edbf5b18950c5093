package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness/history"
)

// lost returns what was acknowledged and is not in a final get. That holds also where
// gets may be stale, of which the model can only say that no order explains them.
func lost(_ context.Context, run *history.Run) (violations []anomaly.Violation, _ error) {
	final := map[string]*history.Operation{} // a get of each list
	for i := range run.History.Operations {
		if o := &run.History.Operations[i]; o.Kind == "get" && o.Outcome == history.OK && o.Invoke >= run.PhaseBegins(history.Final) {
			final[o.Key] = o
		}
	}
	for _, o := range run.History.Operations {
		get := final[o.Key]
		if o.Kind != "append" || o.Outcome != history.OK || get == nil || slices.Contains(as[[]string](get.Output), as[string](o.Input)) {
			continue
		}
		violations = append(violations, anomaly.Violation{
			Key: o.Key, Witness: []history.Operation{o, *get},
			Sentence: fmt.Sprintf("p%d appended %v to %s, and p%d's last get does not have it.", o.Process, o.Input, o.Key, get.Process),
		})
	}
	return violations, nil
}
