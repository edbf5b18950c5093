package nemesis_test

import (
	"fmt"

	"github.com/rashomon-io/rashomon/nemesis"
)

// Five nodes in two machine rooms: one room has a majority, the other has none.
func ExampleRooms() {
	two := nemesis.Rooms([]string{"n1", "n2", "n3"}, []string{"n4", "n5"})
	fmt.Println(two.Name())
	// Output: rooms:n1,n2,n3/n4,n5
}
