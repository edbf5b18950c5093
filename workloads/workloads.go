// Package workloads holds what clients do to a system, and what must then hold:
// one file a workload. Each names the small interface that a target's client
// implements to get it.
package workloads
