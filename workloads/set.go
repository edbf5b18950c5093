package workloads

import "context"

// A SetClient serves one set that only grows.
type SetClient interface {
	Add(ctx context.Context, element int64) error
	// Elements returns all elements, in any order.
	Elements(ctx context.Context) ([]int64, error)
	Close() error
}
