// A Go program with a known live heap and goroutines that wait.
//
// Prints `ready {json}` and waits until its standard input closes or a line arrives.
// Arguments: -mib M (live, in blocks of 1 KiB), -garbage-mib G (collected before it is ready),
// -goroutines N.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"
)

const blockBytes = 1024

func main() {
	mib := flag.Int("mib", 64, "live mebibytes")
	garbage := flag.Int("garbage-mib", 32, "mebibytes collected before it is ready")
	goroutines := flag.Int("goroutines", 1000, "goroutines that wait")
	flag.Parse()

	live := allocate(*mib)
	allocate(*garbage)
	var started sync.WaitGroup
	end := make(chan struct{})
	for i := 0; i < *goroutines; i++ {
		started.Add(1)
		go func() {
			descend(8)
			started.Done()
			<-end
		}()
	}
	started.Wait()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	truth := map[string]any{
		"live_bytes":          len(live) * blockBytes,
		"table_bytes":         cap(live) * int(unsafe.Sizeof(live[0])),
		"lowest_address":      uint64(uintptr(unsafe.Pointer(live[0]))),
		"goroutines":          runtime.NumGoroutine(),
		"heap_alloc_bytes":    stats.HeapAlloc,
		"heap_in_use_bytes":   stats.HeapInuse,
		"heap_idle_bytes":     stats.HeapIdle,
		"heap_returned_bytes": stats.HeapReleased,
		"stack_in_use_bytes":  stats.StackInuse,
		"system_bytes":        stats.Sys,
		"runtime":             runtime.Version(),
	}
	text, err := json.Marshal(truth)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("ready %s\n", text)
	bufio.NewReader(os.Stdin).ReadString('\n')
	runtime.KeepAlive(live)
}

func allocate(mib int) []*[blockBytes]byte {
	blocks := make([]*[blockBytes]byte, mib<<20/blockBytes)
	for i := range blocks {
		blocks[i] = new([blockBytes]byte)
		for j := range blocks[i] {
			blocks[i][j] = 1
		}
	}
	return blocks
}

// descend makes the stack of its goroutine grow to some KiB.
//
//go:noinline
func descend(depth int) byte {
	var frame [512]byte
	for i := range frame {
		frame[i] = byte(depth)
	}
	if depth == 0 {
		return frame[0]
	}
	return descend(depth-1) + frame[511]
}
