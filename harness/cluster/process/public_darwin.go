package process

import (
	"errors"
	"net"
)

func canIdentify() error {
	return errors.New("who calls a node's further ports can be told on Linux only; use --world docker")
}

func caller(*net.TCPConn, []int) (group int, err error) { return 0, canIdentify() }
