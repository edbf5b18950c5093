package reports

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The examples of Newcombe, Two-sided Confidence Intervals for the Single
// Proportion, Statistics in Medicine 17 (1998), table I, method 3.
func TestWilson(t *testing.T) {
	for _, test := range []struct{ count, of, low, high float64 }{
		{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}, {20, 20, 0.8389, 1},
	} {
		low, high := wilson(test.count/test.of, test.of, normal)
		if math.Abs(low-test.low) > 5e-5 || math.Abs(high-test.high) > 5e-5 {
			t.Errorf("%g of %g: %.4f to %.4f, want %.4f to %.4f", test.count, test.of, low, high, test.low, test.high)
		}
	}
}

func TestStudent(t *testing.T) {
	for freedom, want := range map[int]float64{1: 12.706, 2: 4.303, 30: 2.042, 31: 2.040, 40: 2.021, 60: 2.000, 120: 1.980, 1000: 1.962} {
		if got := student(freedom); math.Abs(got-want) > 0.0015 {
			t.Errorf("%d: %.4f, want %.3f", freedom, got, want)
		}
	}
}

func TestIntervalsNeedTwoRuns(t *testing.T) {
	if _, _, ok := meanInterval([]float64{1}); ok {
		t.Error("a mean of one run has an interval")
	}
	if _, _, ok := shareInterval([]part{{1, 2}, {0, 0}}); ok {
		t.Error("a share of one run has an interval")
	}
	if low, high, ok := shareInterval([]part{{0, 1000}, {0, 1000}}); !ok || low != 0 || high <= 0 || high > 0.1 {
		t.Errorf("none of 2,000: %g to %g, %v", low, high, ok)
	}
}

// Intervals of means hold the truth 19 times in 20, those of shares hardly less:
// 92 times in 100 with three runs. Plain Wilson intervals hold it 31 times where the
// operations of one run are alike, as they are here.
func TestCoverage(t *testing.T) {
	const trials = 4000
	random := rand.New(rand.NewPCG(3, 4))
	for _, runs := range []int{3, 5, 10} {
		var share, plain, mean int
		for range trials {
			var parts []part
			var values []float64
			count, of := 0, 0
			for range runs {
				p := 0.1 + 0.2*random.Float64() // 0.2 on average
				n := 500 + random.IntN(1000)
				k := 0
				for range n {
					if random.Float64() < p {
						k++
					}
				}
				parts = append(parts, part{k, n})
				count, of = count+k, of+n
				values = append(values, 50+10*random.NormFloat64())
			}
			if low, high, _ := shareInterval(parts); low <= 0.2 && 0.2 <= high {
				share++
			}
			if low, high := wilson(float64(count)/float64(of), float64(of), normal); low <= 0.2 && 0.2 <= high {
				plain++
			}
			if low, high, _ := meanInterval(values); low <= 50 && 50 <= high {
				mean++
			}
		}
		t.Logf("%d runs: shares %.3f (operations taken as independent: %.3f), means %.3f", runs,
			float64(share)/trials, float64(plain)/trials, float64(mean)/trials)
		for name, hits := range map[string]int{"shares": share, "means": mean} {
			if covered := float64(hits) / trials; covered < 0.91 || covered > 0.98 {
				t.Errorf("%s of %d runs: the interval holds the truth %.3f of the times", name, runs, covered)
			}
		}
	}
}
