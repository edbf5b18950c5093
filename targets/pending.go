//go:build pending

package targets

import (
	_ "github.com/go-zookeeper/zk"
	_ "github.com/redis/go-redis/v9"
	_ "go.etcd.io/etcd/client/v3"
	_ "go.etcd.io/etcd/client/v3/concurrency"
	_ "olympos.io/encoding/edn"
)
