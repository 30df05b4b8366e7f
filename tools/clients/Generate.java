import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Gets an image from kgen-serve or TF Serving with the client of Java 11, which needs no other library.
 *
 * <pre>java Generate.java http://127.0.0.1:8501/v1/models/cvae '{"label": 3, "seed": 7, "temperature": 1}' three.png</pre>
 */
public class Generate {
  /** Of an answer {"predictions": [{"b64": "..."}]}; take a JSON library where there is one. */
  private static final Pattern PNG = Pattern.compile("\"b64\"\\s*:\\s*\"([A-Za-z0-9+/=]+)\"");

  private static final HttpClient CLIENT =
      HttpClient.newBuilder()
          .version(HttpClient.Version.HTTP_1_1) // by default each connection asks for an upgrade to HTTP/2 first
          .connectTimeout(Duration.ofSeconds(10))
          .build();

  /** The bytes of a PNG file: of the signature generate_png, for a row of its inputs as JSON. */
  static byte[] generate(String model, String row) throws IOException, InterruptedException {
    String body = "{\"signature_name\": \"generate_png\", \"instances\": [" + row + "]}";
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(model + ":predict"))
            .header("Content-Type", "application/json")
            .timeout(Duration.ofSeconds(60))
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
    HttpResponse<String> answer = CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
    Matcher found = PNG.matcher(answer.body());
    if (answer.statusCode() != 200 || !found.find()) {
      throw new IOException(answer.statusCode() + ": " + answer.body());
    }
    return Base64.getDecoder().decode(found.group(1));
  }

  public static void main(String[] arguments) throws InterruptedException {
    try {
      Files.write(Path.of(arguments[2]), generate(arguments[0], arguments[1]));
    } catch (IOException error) {
      System.err.println("Generate: " + error.getMessage());
      System.exit(1);
    }
  }
}
