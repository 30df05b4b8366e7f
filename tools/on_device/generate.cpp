// Generates an image with a .tflite file of kgen-export, by LiteRT's C API; writes it as a PGM or PPM file.
//
//   generate model.tflite 3 7 three.pgm          class 3, seed 7; a model without classes ignores the class
//
// The library is libLiteRt.so, of Google's packages or of the Python wheel ai-edge-litert 2.3 (which has no headers: what
// is used of litert/c/*.h is declared here; with the headers include those instead):
//
//   lib=$(python -c "import ai_edge_litert as m; print(m.__path__[0])")
//   g++ -std=c++17 -O2 generate.cpp $lib/libLiteRt.so -Wl,-rpath,$lib -o generate

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

struct TensorType {
  int32_t element_type;
  uint32_t rank : 7, has_strides : 1;
  int32_t dimensions[8];
  uint32_t strides[8];
  char room[128];  // should another version have more fields
};

constexpr int kCpu = 1, kRead = 0, kWrite = 1, kFloat32 = 1, kInt32 = 2, kUInt8 = 3;

extern "C" {
int LiteRtCreateEnvironment(int, const void*, void**);
void LiteRtDestroyEnvironment(void*);
int LiteRtCreateModelFromFile(void* environment, const char*, void** model);
void LiteRtDestroyModel(void*);
int LiteRtCreateOptions(void**);
int LiteRtSetOptionsHardwareAccelerators(void*, int);
void LiteRtDestroyOptions(void*);
int LiteRtCreateCompiledModel(void* environment, void* model, void* options, void** compiled);
void LiteRtDestroyCompiledModel(void*);
int LiteRtGetNumModelSignatures(void* model, size_t*);
int LiteRtGetModelSignature(void* model, size_t, void** signature);
int LiteRtGetSignatureKey(void* signature, const char**);
int LiteRtGetNumSignatureInputs(void* signature, size_t*);
int LiteRtGetSignatureInputName(void* signature, size_t, const char**);
int LiteRtGetSignatureInputTensorByIndex(void* signature, size_t, void** tensor);
int LiteRtGetSignatureOutputTensorByIndex(void* signature, size_t, void** tensor);
int LiteRtGetRankedTensorType(void* tensor, TensorType*);
int LiteRtGetCompiledModelInputBufferRequirements(void* compiled, size_t signature, size_t, void** requirements);
int LiteRtGetCompiledModelOutputBufferRequirements(void* compiled, size_t signature, size_t, void** requirements);
int LiteRtCreateManagedTensorBufferFromRequirements(void* environment, const TensorType*, void* requirements, void** buffer);
void LiteRtDestroyTensorBuffer(void*);
int LiteRtLockTensorBuffer(void* buffer, void** address, int mode);
int LiteRtUnlockTensorBuffer(void*);
int LiteRtRunCompiledModel(void* compiled, size_t signature, size_t, void** inputs, size_t, void** outputs);
}

static void check(int status, const std::string& what) {
  if (status != 0) {
    std::fprintf(stderr, "generate: %s: LiteRT status %d\n", what.c_str(), status);
    std::exit(1);
  }
}

/** A model on the CPU. */
class Generator {
 public:
  explicit Generator(const char* file) {
    check(LiteRtCreateEnvironment(0, nullptr, &environment_), "environment");
    check(LiteRtCreateModelFromFile(environment_, file, &model_), file);
    check(LiteRtCreateOptions(&options_), "options");
    check(LiteRtSetOptionsHardwareAccelerators(options_, kCpu), "options");
    check(LiteRtCreateCompiledModel(environment_, model_, options_, &compiled_), file);
  }

  ~Generator() {
    LiteRtDestroyCompiledModel(compiled_);
    LiteRtDestroyOptions(options_);
    LiteRtDestroyModel(model_);
    LiteRtDestroyEnvironment(environment_);
  }

  struct Image {
    int height, width, channels;
    std::vector<uint8_t> pixels;
  };

  /** The image of a class, a seed and a temperature, as the signature generate_u8 gives it. */
  Image generate(int32_t label, int32_t seed, float temperature) {
    size_t place = find("generate_u8"), count = 0;
    void *signature = nullptr, *tensor = nullptr, *requirements = nullptr, *output = nullptr, *address = nullptr;
    check(LiteRtGetModelSignature(model_, place, &signature), "signature");
    check(LiteRtGetNumSignatureInputs(signature, &count), "inputs");
    std::vector<void*> inputs(count);
    TensorType type{};
    for (size_t i = 0; i < count; i++) {
      const char* name = nullptr;
      check(LiteRtGetSignatureInputName(signature, i, &name), "input");
      check(LiteRtGetSignatureInputTensorByIndex(signature, i, &tensor), name);
      check(LiteRtGetRankedTensorType(tensor, &type), name);
      check(LiteRtGetCompiledModelInputBufferRequirements(compiled_, place, i, &requirements), name);
      check(LiteRtCreateManagedTensorBufferFromRequirements(environment_, &type, requirements, &inputs[i]), name);
      check(LiteRtLockTensorBuffer(inputs[i], &address, kWrite), name);
      if (type.element_type == kFloat32) {
        std::memcpy(address, &temperature, sizeof temperature);
      } else {
        std::memcpy(address, std::strcmp(name, "label") ? &seed : &label, sizeof seed);
      }
      check(LiteRtUnlockTensorBuffer(inputs[i]), name);
    }
    check(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor), "output");
    check(LiteRtGetRankedTensorType(tensor, &type), "output");
    check(type.element_type == kUInt8 && type.rank == 4 ? 0 : 1, "output of another form than [1, H, W, C] uint8");
    check(LiteRtGetCompiledModelOutputBufferRequirements(compiled_, place, 0, &requirements), "output");
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment_, &type, requirements, &output), "output");
    check(LiteRtRunCompiledModel(compiled_, place, count, inputs.data(), 1, &output), "run");
    Image image{type.dimensions[1], type.dimensions[2], type.dimensions[3], {}};
    check(LiteRtLockTensorBuffer(output, &address, kRead), "output");
    const auto* first = static_cast<const uint8_t*>(address);
    image.pixels.assign(first, first + size_t(image.height) * image.width * image.channels);
    check(LiteRtUnlockTensorBuffer(output), "output");
    // A label of no class gives NaN, which is 0 in every uint8.
    check(std::any_of(image.pixels.begin(), image.pixels.end(), [](uint8_t x) { return x != 0; }) ? 0 : 1,
          "a picture of nothing: a label or a seed that is none");
    LiteRtDestroyTensorBuffer(output);
    for (void* input : inputs) LiteRtDestroyTensorBuffer(input);
    return image;
  }

 private:
  size_t find(const char* wanted) {
    size_t count = 0;
    check(LiteRtGetNumModelSignatures(model_, &count), "signatures");
    for (size_t i = 0; i < count; i++) {
      void* signature = nullptr;
      const char* key = nullptr;
      check(LiteRtGetModelSignature(model_, i, &signature), "signature");
      check(LiteRtGetSignatureKey(signature, &key), "signature");
      if (std::strcmp(key, wanted) == 0) return i;
    }
    check(1, std::string("it has no signature ") + wanted + "; take model.tflite");
    return 0;
  }

  void *environment_ = nullptr, *model_ = nullptr, *options_ = nullptr, *compiled_ = nullptr;
};

bool is_whole_number(const char* text) {
  char* end;
  std::strtol(text, &end, 10);
  return end != text && !*end;
}

int main(int count, char** arguments) {
  if (count < 5 || !is_whole_number(arguments[2]) || !is_whole_number(arguments[3])) {
    std::fprintf(stderr, "usage: generate MODEL.tflite CLASS SEED OUT.pgm [TEMPERATURE]; CLASS and SEED are numbers\n");
    return 2;
  }
  Generator generator(arguments[1]);
  const float temperature = count > 5 ? std::atof(arguments[5]) : 1.0f;
  const auto image = generator.generate(std::atoi(arguments[2]), std::atoi(arguments[3]), temperature);
  std::FILE* file = std::fopen(arguments[4], "wb");
  check(file ? 0 : 1, std::string(arguments[4]) + " cannot be written");
  std::fprintf(file, "P%d\n%d %d\n255\n", image.channels == 1 ? 5 : 6, image.width, image.height);
  std::fwrite(image.pixels.data(), 1, image.pixels.size(), file);
  return std::fclose(file);
}
