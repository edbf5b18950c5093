/** Answers each line with the time in milliseconds. */
class Reader {
    public static void main(String[] args) throws java.io.IOException {
        for (int b; (b = System.in.read()) >= 0; ) {
            if (b == '\n') System.out.println(System.currentTimeMillis());
        }
    }
}
