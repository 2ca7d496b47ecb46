// What the check of ptxas' report must refuse: an array that only memory can hold.
__global__ void indexes_a_local_array(int* out, int n) {
  int values[64];
  for (int i = 0; i < 64; ++i) values[i] = n;
  for (int i = 0; i < n; ++i) values[out[i] % 64] += i;
  for (int i = 0; i < n; ++i) out[i] = values[(out[i] + i) % 64];
}
