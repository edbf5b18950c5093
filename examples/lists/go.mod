module github.com/rashomon-io/rashomon/examples/lists

go 1.26.8

require github.com/rashomon-io/rashomon v0.0.0

replace github.com/rashomon-io/rashomon => ../..

tool github.com/rashomon-io/rashomon/examples/lists/server
