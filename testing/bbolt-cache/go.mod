module plimsoll/testing/bbolt-cache

go 1.23

// As the original has it.
require go.etcd.io/bbolt v1.4.2

require golang.org/x/sys v0.29.0 // indirect
