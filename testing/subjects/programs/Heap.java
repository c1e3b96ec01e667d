import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryUsage;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * A JVM with a known live set: arrays on the heap, one direct buffer, threads that wait.
 *
 * Prints `ready {json}` and waits until its standard input closes or a line arrives.
 * Arguments: --mib M (live on the heap, in arrays of 64 KiB), --direct-mib D, --threads N.
 */
public final class Heap {
    private static final int ARRAY_BYTES = 64 << 10;

    public static void main(String[] arguments) throws Exception {
        int mib = number(arguments, "--mib", 64);
        int directMib = number(arguments, "--direct-mib", 16);
        int threads = number(arguments, "--threads", 8);

        List<byte[]> live = new ArrayList<>();
        for (int i = 0; i < (mib << 20) / ARRAY_BYTES; i++) {
            byte[] array = new byte[ARRAY_BYTES];
            java.util.Arrays.fill(array, (byte) 1);
            live.add(array);
        }
        ByteBuffer direct = ByteBuffer.allocateDirect(directMib << 20);
        while (direct.hasRemaining()) {
            direct.put((byte) 1);
        }
        Object end = new Object();
        for (int i = 0; i < threads; i++) {
            Thread thread = new Thread(() -> waitFor(end), "java-waiter-" + i);
            thread.setDaemon(true);
            thread.start();
        }
        System.gc();

        MemoryUsage heap = ManagementFactory.getMemoryMXBean().getHeapMemoryUsage();
        StringBuilder pools = new StringBuilder();
        for (MemoryPoolMXBean pool : ManagementFactory.getMemoryPoolMXBeans()) {
            MemoryUsage usage = pool.getUsage();
            pools.append(pools.isEmpty() ? "" : ",").append(String.format(
                "{\"name\":\"%s\",\"used_bytes\":%d,\"committed_bytes\":%d}",
                pool.getName().replace("'", ""), usage.getUsed(), usage.getCommitted()));
        }
        System.out.println("ready " + String.format(
            "{\"live_bytes\":%d,\"direct_bytes\":%d,\"heap_used_bytes\":%d,"
                + "\"heap_committed_bytes\":%d,\"heap_max_bytes\":%d,\"started_threads\":%d,"
                + "\"pools\":[%s],\"runtime\":\"%s\"}",
            (long) live.size() * ARRAY_BYTES, (long) directMib << 20, heap.getUsed(),
            heap.getCommitted(), heap.getMax(), threads, pools,
            System.getProperty("java.version")));
        System.out.flush();
        int read;
        do {
            read = System.in.read();
        } while (read != -1 && read != '\n');
        System.exit(live.isEmpty() && direct.capacity() < 0 ? 1 : 0);
    }

    private static void waitFor(Object end) {
        synchronized (end) {
            try {
                end.wait();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static int number(String[] arguments, String flag, int otherwise) {
        for (int i = 0; i + 1 < arguments.length; i++) {
            if (arguments[i].equals(flag)) {
                return Integer.parseInt(arguments[i + 1]);
            }
        }
        return otherwise;
    }
}
