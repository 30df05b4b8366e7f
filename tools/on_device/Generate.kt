// NOT RUN: written from the documentation of LiteRT 2 for Android, compiled and tried by nobody here. The calls in Python,
// C++ and JavaScript beside this file are run in the tests; the signature and its inputs are the same.
//
// build.gradle.kts: implementation("com.google.ai.edge.litert:litert:2.+"); model.tflite lies in src/main/assets.

import android.content.res.AssetManager
import android.graphics.Bitmap
import android.graphics.Color
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

/** Draws with `decode`: a latent point, and the number of a class where the model takes one, become an image in [0, 1]. */
class Generator(assets: AssetManager, private val height: Int, private val width: Int) : AutoCloseable {
  private val model = CompiledModel.create(assets, "model.tflite", CompiledModel.Options(Accelerator.CPU))

  /** Gray or in colour; for the picture of a seed take the signature "generate" with label, seed and temperature. */
  fun decode(z: FloatArray, label: Int? = null): Bitmap {
    val inputs = mutableMapOf("z" to model.createInputBuffer("z", "decode").apply { writeFloat(z) })
    if (label != null) {
      inputs["label"] = model.createInputBuffer("label", "decode").apply { writeInt(intArrayOf(label)) }
    }
    val outputs = mapOf("images" to model.createOutputBuffer("images", "decode"))
    model.run(inputs, outputs, "decode")
    val values = outputs.getValue("images").readFloat().map { Math.round(255 * it) } // [height][width][channels]
    val channels = values.size / (height * width)
    val colors = IntArray(height * width) { i ->
      Color.rgb(values[i * channels], values[i * channels + 1 % channels], values[i * channels + 2 % channels])
    }
    return Bitmap.createBitmap(colors, width, height, Bitmap.Config.ARGB_8888)
  }

  override fun close() = model.close()
}
