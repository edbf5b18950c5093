package search
import "os"
var debugDeaths = os.Getenv("DEBUG") != ""
