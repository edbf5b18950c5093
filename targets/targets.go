// Package targets lists the built-in systems, one folder a system.
package targets
