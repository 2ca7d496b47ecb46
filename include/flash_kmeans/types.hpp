// The vocabulary of the library: views, options, results, errors. Plain C++17, no nvcc needed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "version.hpp"

// cudaStream_t without the CUDA headers.
struct CUstream_st;

/// Exact k-means (Lloyd) on the GPU. Letters used everywhere: n points, k clusters, d features, b
/// problems of a batch; x points, c centroids.
namespace flash_kmeans {

namespace detail {

// Anything with the interface of cuda::std::mdspan (or std::mdspan) of rank 2, 3 or 4.
template <class M, class = void>
struct is_mdspan : std::false_type {};
template <class M>
struct is_mdspan<M, std::void_t<typename M::element_type, typename M::extents_type,
                                decltype(std::declval<M const&>().data_handle()),
                                decltype(std::declval<M const&>().stride(0))>> : std::true_type {};

}  // namespace detail

/// A row-major matrix, or a batch of them, in memory that somebody else owns.
///
/// Two batch dimensions are enough to take [b][h][n][d] and [b][n][h][d] tensors as they lie; see
/// bhsd() and nhd().
template <class T>
struct matrix_view {
  using element_type = T;                     ///< as of an mdspan
  using value_type = std::remove_const_t<T>;  ///< T without const

  /// host|device, first element of the first row of the first problem
  T* data = nullptr;
  /// of every problem: [rows][cols]
  std::int64_t rows = 0;
  /// features of a row, which are contiguous
  std::int64_t cols = 0;
  /// elements from one row to the next, >= cols; default cols
  std::int64_t ld = 0;
  /// outer and inner dimension: problem (i, j) has number i * batch[1] + j
  std::array<std::int64_t, 2> batch{1, 1};
  /// elements from one problem to the next along either batch dimension
  std::array<std::int64_t, 2> batch_stride{0, 0};

  matrix_view() = default;

  /// One problem of contiguous rows.
  matrix_view(T* data_, std::int64_t rows_, std::int64_t cols_)
      : data(data_), rows(rows_), cols(cols_), ld(cols_) {}

  /// Rows any distance apart, one problem or many.
  matrix_view(T* data_, std::int64_t rows_, std::int64_t cols_, std::int64_t ld_,
              std::array<std::int64_t, 2> batch_ = {1, 1},
              std::array<std::int64_t, 2> batch_stride_ = {0, 0})
      : data(data_),
        rows(rows_),
        cols(cols_),
        ld(ld_),
        batch(batch_),
        batch_stride(batch_stride_) {}

  /// A view of T converts to a view of T const.
  template <class U, class = std::enable_if_t<std::is_same_v<U const, T> && !std::is_const_v<U>>>
  matrix_view(matrix_view<U> const& other)
      : matrix_view(other.data, other.rows, other.cols, other.ld, other.batch, other.batch_stride) {
  }

  /// From an mdspan [n][d], [b][n][d] or [b][h][n][d] of any strides, as long as features are
  /// contiguous (throws std::invalid_argument when they are not). A [b][n][h][d] tensor is a rank-4
  /// mdspan with layout_stride whose extents are given in the order b, h, n, d.
  template <class M,
            class = std::enable_if_t<detail::is_mdspan<M>::value &&
                                     std::is_convertible_v<typename M::element_type*, T*>>,
            class = void>
  matrix_view(M const& m) : data(m.data_handle()) {
    constexpr auto rank = M::rank();
    static_assert(rank >= 2 && rank <= 4,
                  "flash_kmeans::matrix_view takes mdspans of rank 2, 3 and 4");
    auto extent = [&](std::size_t r) { return static_cast<std::int64_t>(m.extent(r)); };
    auto stride = [&](std::size_t r) { return static_cast<std::int64_t>(m.stride(r)); };
    rows = extent(rank - 2);
    cols = extent(rank - 1);
    // The stride of a dimension of extent 1 is never used, so it is not held against the caller.
    ld = rows > 1 ? stride(rank - 2) : cols;
    for (std::size_t r = 0; r + 2 < rank; ++r) {
      std::size_t const to = r + 4 - rank;
      batch[to] = extent(r);
      batch_stride[to] = stride(r);
    }
    if (cols > 1 && stride(rank - 1) != 1) {
      throw std::invalid_argument("flash_kmeans: mdspan has stride " +
                                  std::to_string(stride(rank - 1)) +
                                  " along the features, must be 1");
    }
  }

  /// b problems one after the other: [b][rows][cols], contiguous.
  static matrix_view batched(T* data, std::int64_t b, std::int64_t rows, std::int64_t cols) {
    return {data, rows, cols, cols, {b, 1}, {rows * cols, 0}};
  }

  /// A contiguous tensor [b][h][n][d]: every (b, h) is a problem of n rows.
  static matrix_view bhsd(T* data, std::int64_t b, std::int64_t h, std::int64_t n, std::int64_t d) {
    return {data, n, d, d, {b, h}, {h * n * d, n * d}};
  }

  /// A contiguous tensor [b][n][h][d]: every (b, h) is a problem of n rows that lie h * d apart.
  static matrix_view nhd(T* data, std::int64_t b, std::int64_t n, std::int64_t h, std::int64_t d) {
    return {data, n, d, h * d, {b, h}, {n * h * d, d}};
  }

  /// Number of problems.
  std::int64_t batch_count() const { return batch[0] * batch[1]; }

  /// Offset in elements of problem number i.
  std::int64_t problem_offset(std::int64_t i) const {
    return (i / batch[1]) * batch_stride[0] + (i % batch[1]) * batch_stride[1];
  }
};

/// An mdspan tells what it is a view of.
template <class M, class = std::enable_if_t<detail::is_mdspan<M>::value>>
matrix_view(M const&) -> matrix_view<typename M::element_type>;

/// Matrices of different numbers of rows that follow each other in memory, such as the sequences of
/// a batch of variable length: rows [offsets[i], offsets[i + 1]) are those of sequence i. Every
/// sequence holds `heads` problems of its rows.
///
/// A packed tensor [rows][h][d] with the offsets of its sequences is
/// `{data, offsets, sequences, d, h * d, h, d}`. What verbs read and write besides (labels, weights,
/// status and so on) lies as for matrix_view, one problem after the other without gaps: problem (i,
/// j) has number i * heads + j.
template <class T>
struct ragged_view {
  using element_type = T;                     ///< as of matrix_view
  using value_type = std::remove_const_t<T>;  ///< T without const

  /// host|device, first element of row 0
  T* data = nullptr;
  /// host, [sequences + 1], not negative, ascending; read while the verb is called only
  std::int64_t const* offsets = nullptr;
  /// how many there are
  std::int64_t sequences = 0;
  /// features of a row, which are contiguous
  std::int64_t cols = 0;
  /// elements from one row to the next, >= cols; default cols
  std::int64_t ld = 0;
  /// problems of a sequence
  std::int64_t heads = 1;
  /// elements from one of them to the next
  std::int64_t head_stride = 0;

  ragged_view() = default;

  /// Contiguous rows, one problem a sequence.
  ragged_view(T* data_, std::int64_t const* offsets_, std::int64_t sequences_, std::int64_t cols_)
      : data(data_), offsets(offsets_), sequences(sequences_), cols(cols_), ld(cols_) {}

  /// Rows any distance apart, one problem a sequence or many.
  ragged_view(T* data_, std::int64_t const* offsets_, std::int64_t sequences_, std::int64_t cols_,
              std::int64_t ld_, std::int64_t heads_ = 1, std::int64_t head_stride_ = 0)
      : data(data_),
        offsets(offsets_),
        sequences(sequences_),
        cols(cols_),
        ld(ld_),
        heads(heads_),
        head_stride(head_stride_) {}

  /// A view of T converts to a view of T const.
  template <class U, class = std::enable_if_t<std::is_same_v<U const, T> && !std::is_const_v<U>>>
  ragged_view(ragged_view<U> const& other)
      : ragged_view(other.data, other.offsets, other.sequences, other.cols, other.ld, other.heads,
                    other.head_stride) {}

  /// The problems of sequence i. Null data stays null.
  matrix_view<T> sequence(std::int64_t i) const {
    return {data == nullptr ? nullptr : data + offsets[i] * ld,
            offsets[i + 1] - offsets[i],
            cols,
            ld,
            {1, heads},
            {0, head_stride}};
  }

  /// Number of problems.
  std::int64_t problem_count() const { return sequences * heads; }
};

/// Type of centroids, sums and distances for points of type T: double for double, float for all
/// others.
template <class T>
using centroid_t = std::conditional_t<std::is_same_v<std::remove_cv_t<T>, double>, double, float>;

/// Where the first centroids come from.
enum class init_method {
  /// k distinct points of the problem, drawn uniformly without replacement
  random,
  /// greedy k-means++: one centroid after the other, each the best of fit_options::candidates
  /// points drawn with a probability in proportion to weight x distance to the nearest centroid so
  /// far (squared, but under metric::cosine 1 - cos). At most k passes over the points. Source:
  /// Arthur, Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007; several
  /// candidates a step as in scikit-learn.
  kmeans_plus_plus,
  /// k-means||: a few passes that draw about k points each, then k-means++ among what they drew.
  /// Source: Bahmani et al., Scalable k-means++, VLDB 2012.
  kmeans_parallel,
  /// what the caller left in the centroids (warm start)
  given
};

/// What near means.
enum class metric {
  /// squared distance |x - c|^2; a centroid is the mean of its points
  euclidean,
  /// 1 - x.c / (|x| |c|), from 0 to 2, and 1 where either is zero; a centroid is the mean of its
  /// points' directions, scaled to length 1 (spherical k-means). Points need not be normalised. A
  /// point of zeros has distance 1 to everything, gets label 0 and counts nowhere in the sums, as if
  /// it weighed 0 (not so in inertia). A cluster whose directions add up to nothing keeps its
  /// centroid. A fit scales its first centroids to length 1; zero ones stay zero.
  cosine,
  /// -x.c; a centroid is the mean of its points
  inner_product
};

/// What becomes of a cluster without points in an update of a fit. Labels and by-products stay those
/// of the assignment before it.
enum class empty_cluster {
  /// it keeps its centroid
  keep,
  /// the points with the largest distances to their centroids (by the metric, before the update)
  /// become centroids, the farthest one that of the first empty cluster, and leave the clusters that
  /// they were in, as in scikit-learn; ties go to the lowest index. Points that weigh 0 are not
  /// taken; where points are too few, the last empty clusters keep their centroids, and so does a
  /// cluster that gives away its only point.
  farthest_point,
  /// it takes half of the cluster with most points: after the update both get that cluster's
  /// centroid, the empty one times 1 + 1/1024 in features 0, 2, ... and 1 - 1/1024 in the others, the
  /// large one the other way round, as in FAISS (and scaled to length 1 again under metric::cosine);
  /// ties go to the lowest index, and for the next empty cluster the new one counts half the points,
  /// rounded down, and the large one the rest. A cluster of one point is not split.
  split_largest
};

/// Weights of the points of a problem; only their proportions matter to centroids. A cluster whose
/// points all weigh 0 is one without points. A pointer to float, or to double for double points,
/// converts; the default is that every point weighs 1.
class sample_weights {
 public:
  sample_weights() = default;
  /// device (host for flash_kmeans::host), [b][n], contiguous, finite, not negative; for points of
  /// every type but double
  sample_weights(float const* weights) : float_(weights) {}
  /// the same for double points
  sample_weights(double const* weights) : double_(weights) {}
  /// None.
  sample_weights(std::nullptr_t) {}

  /// Whether there are any.
  explicit operator bool() const { return float_ != nullptr || double_ != nullptr; }
  /// Those of type C, or null where they are of the other type.
  template <class C>
  C const* get() const {
    if constexpr (std::is_same_v<C, double>) {
      return double_;
    } else {
      return float_;
    }
  }

 private:
  float const* float_ = nullptr;
  double const* double_ = nullptr;
};

/// What a fit is to do. Defaults are those of scikit-learn where it has the option.
struct fit_options {
  /// Largest number of update steps, >= 1. (scikit-learn: max_iter)
  int max_iterations = 300;
  /// A problem has converged when the squared distances that its centroids moved in one update sum
  /// to no more than tolerance x the mean over features of the variance of its points. Finite, >=
  /// 0; 0 asks for centroids that do not move at all and saves the pass over the points that
  /// computes the variance. The variance takes no notice of weights. Under metric::cosine it is that
  /// of the points' directions x / |x|, where a point of zeros has that of zeros.
  /// (scikit-learn: tol)
  double tolerance = 1e-4;
  /// Where the first centroids come from.
  init_method init = init_method::random;
  /// Seed of what is drawn; problem i of a batch draws from a stream of its own, number
  /// first_problem + i.
  std::uint64_t seed = 0;
  /// Number of the first problem in what is drawn, >= 0: a batch that is fitted in several calls (or
  /// on several devices) draws what one call would.
  std::int64_t first_problem = 0;
  /// Assign once more after the last update, so that labels, cluster_index and inertia belong to
  /// the returned centroids. Without it labels and cluster_index are those that the last update was
  /// computed from, inertia is NaN, and a call saves one assignment.
  bool closing_assignment = true;
  /// What near means.
  flash_kmeans::metric metric = flash_kmeans::metric::euclidean;
  /// How much each point counts in means, inertia and what init_method draws.
  sample_weights weights{};
  /// What becomes of a cluster without points.
  flash_kmeans::empty_cluster empty_cluster = flash_kmeans::empty_cluster::keep;
  /// Cap on the size of clusters relative to the average size, which the fit works towards: finite
  /// and >= 1, or 0 for none. A cluster is to have no more than L = max(1, floor(max_size_ratio x m /
  /// k)) of the m points that are in clusters (all that are finite, whatever they weigh).
  ///
  /// Before the sums of every update:
  /// - A cluster of s > L points asks for ceil(s / L) - 1 centroids.
  /// - Clusters of at most L / 2 points, empty ones included, can spare theirs. The smallest do, as
  ///   many as are asked for; of equals those that come first after one that changes with every
  ///   update.
  /// - They go in ascending order to the clusters that ask, in ascending order too. Where they are
  ///   too few, t of A, the first clusters that ask for a together get floor(a t / A).
  /// - A cluster that gets c of them is cut into c + 1 parts in the order of its points, part i from
  ///   point floor(i s / (c + 1)) on. It keeps the first, and each of the c centroids moves to the
  ///   mean of another one (by weights and metric). A part that weighs nothing is not given away.
  /// - Points of clusters whose centroids move count nowhere in this update. What is empty then is
  ///   for empty_cluster.
  ///
  /// Labels and by-products stay those of the nearest centroid, so this is a goal and no promise:
  /// clusters may remain larger, as those of equal points must, and nothing repairs what the last
  /// update leaves. A problem does not converge in an update that moves centroids so; where the goal
  /// is out of reach, max_iterations are done. Of no effect from k on. (cuVS: balanced k-means moves
  /// centroids of small clusters, too)
  double max_size_ratio = 0;
  /// Seedings that are tried, >= 1; the fit with the lowest inertia is returned, the first of
  /// equals, for each problem of a batch by itself. Seeding i draws with seed + i. More than 1 needs
  /// the closing assignment and excludes init_method::given. (scikit-learn: n_init)
  int n_init = 1;
  /// Points that k-means++ draws for each centroid, 0 to 64; 0: 2 + floor(ln k) as in scikit-learn,
  /// but no more than 8. Of half and bfloat16 points up to 8 cost half of what more than 8 cost, since
  /// two centroids then share a pass.
  int candidates = 0;
  /// Throw std::invalid_argument that names the first point with a NaN or an infinity, before
  /// anything is written, instead of leaving such points out (see fit_status::non_finite). Costs
  /// one pass over the points, for which fit waits; verbs that do not wait refuse it.
  bool check_input = false;
  /// Called by fit on the calling thread with the number of updates so far (from 1, and anew for
  /// each seeding; on the GPU seedings that run side by side count as one) and the sum of the
  /// squared distances that centroids moved in the last of them, over the problems that took part
  /// in it. Returns whether to go on. With false the fit ends as at max_iterations, its closing
  /// assignment included, and no other seeding begins. An exception that it throws ends the fit and
  /// reaches the caller; the outputs then hold unfinished values.
  /// On the CPU after every update. On the GPU after every fourth that is not the last, where fit
  /// looks at the device anyway, and not for small problems, whose updates are one launch; verbs
  /// that do not wait refuse it.
  std::function<bool(int iteration, double shift)> progress{};
};

/// What a query (predict, top_k, transform, inertia) is to do.
struct query_options {
  /// What near means; distances are those of metric.
  flash_kmeans::metric metric = flash_kmeans::metric::euclidean;
  /// How much each point counts in inertia; of no effect on other verbs.
  sample_weights weights{};
};

/// What an update of centroids is to do.
struct update_options {
  /// What a centroid is.
  flash_kmeans::metric metric = flash_kmeans::metric::euclidean;
  /// How much each point counts.
  sample_weights weights{};
};

/// The kernels that an assignment may run on.
enum class assign_kernel {
  automatic,  ///< the best one that the running device has an image for
  host,       ///< flash_kmeans::host, never chosen on a GPU
  simt,       ///< any GPU, any type: FMA units
  sm80,       ///< Ampere and later, half (points of one byte too) and bfloat16: mma.sync
  sm90        ///< Hopper, half, bfloat16 and float: TMA and wgmma
};

/// Its name.
inline char const* to_string(assign_kernel kernel) {
  switch (kernel) {
    case assign_kernel::automatic: return "automatic";
    case assign_kernel::host: return "host";
    case assign_kernel::simt: return "simt";
    case assign_kernel::sm80: return "sm80";
    case assign_kernel::sm90: return "sm90";
  }
  return "unknown";
}

/// How points of type float are multiplied with centroids; other types have one way only.
enum class precision {
  native,  ///< no less accurate than a plain fp32 dot product
  tf32     ///< operands with 10 bits of mantissa (points cut off, centroids rounded), where tensor
           ///< cores can read them; native elsewhere. Labels are exact for neither operand.
};

/// Whether assignments of float and double points are screened: one product of half finds the nearest
/// centroid of each point, a bound of what it loses proves that or leaves the point open, and only
/// open points are multiplied in all bits. Labels are as exact as without: the two ways differ only
/// where the type's arithmetic cannot tell which of two centroids is nearer. Time depends on how many
/// points are open: few, where squared distances to the two nearest centroids differ by more than
/// 2e-3 |x| |c| (both from the mean of the points), as they usually do. Where more than half of a
/// problem's points are, its screen has been for nothing (about a quarter of an assignment of
/// float), and the rest of the fit goes without. On Hopper only; of float with more than 21 features
/// on assign_kernel::sm90 in precision::native, of double on assign_kernel::simt. Of no effect
/// elsewhere.
enum class screening {
  automatic,  ///< where n d (k + 128) >= 2^31, of double n d (k - 8) >= 2^27: with less its launches
              ///< take longer than it saves
  on,         ///< wherever possible: it may pay for many smaller problems at once
  off         ///< never
};

/// Where and how a call runs on the GPU.
struct execution {
  /// Everything is queued here; nullptr is the default stream.
  CUstream_st* stream = nullptr;
  /// device, 256-byte aligned, at least as many bytes as the verb's *_workspace_bytes says; its
  /// contents are lost. nullptr: one cudaMallocAsync and one cudaFreeAsync on the stream.
  void* workspace = nullptr;
  /// Size of the workspace.
  std::size_t workspace_bytes = 0;
  /// Force a path, for tests and benchmarks. std::invalid_argument where it cannot run.
  assign_kernel kernel = assign_kernel::automatic;
  /// Of float points: tf32 trades exactness for speed.
  flash_kmeans::precision precision = flash_kmeans::precision::native;
  /// Of float and double points: whether half goes before, which costs workspace and saves time.
  flash_kmeans::screening screening = flash_kmeans::screening::automatic;
};

/// What a sort of the points by cluster gives. Every pointer may be null: what is null is not
/// written. All are device memory (host memory for flash_kmeans::host) and contiguous over the
/// batch; indices count inside their own problem.
struct cluster_index {
  /// [b][k], points of each cluster
  std::int32_t* counts = nullptr;
  /// [b][k+1], where each cluster starts in order; the last one is n, less the points that count for
  /// no cluster
  std::int32_t* offsets = nullptr;
  /// [b][n], points sorted by cluster, stable (ascending inside a cluster)
  std::int32_t* order = nullptr;
  /// [b][n], position of each point in order
  std::int32_t* inverse = nullptr;
};

/// How one problem ended; one per problem of a batch.
struct fit_status {
  double inertia;  ///< sum over points of weight x distance to the own centroid, by the metric,
                   ///< without those whose distance is not finite; NaN when not asked for
  double shift;    ///< sum of the squared distances that the centroids moved in the last update
  std::int32_t iterations;  ///< updates done
  /// 1 when the last shift was within the tolerance and no centroid had to move because of
  /// fit_options::max_size_ratio
  std::int32_t converged;
  /// Points with a NaN or an infinity. They have label 0 and count nowhere: not in centroids,
  /// inertia, variance, seeding, empty clusters and cluster_index, where they stand at the end of
  /// order.
  std::int64_t non_finite = 0;
};

/// What happened in one iteration of a problem: an assignment and the update from it.
struct iteration_record {
  double inertia;  ///< as fit_status::inertia, of the assignment: distances to the centroids that
                   ///< the points were assigned to, before the update
  double shift;    ///< sum of the squared distances that the centroids moved in the update
  /// Points whose label is not that of the iteration before; in the first one all. Those that are
  /// not finite have none.
  std::int64_t moved;
  /// Clusters without points that weigh something, before fit_options::empty_cluster fills them.
  std::int64_t empty;
};

/// What is as it was when the last fit of a fit_plan ended, so that the next one need not make it
/// ready again.
struct fit_unchanged {
  /// not packed or converted again, and their variance is not measured again. Points of one byte a
  /// value are those of the last conversion then, even where they have changed in place.
  bool points = false;
  bool centroids = false;  ///< where that fit left them; only under init_method::given
};

/// What fit writes. A plain label pointer converts.
struct fit_outputs {
  std::int32_t* labels = nullptr;  ///< [b][n], contiguous, required
  cluster_index index{};           ///< optional by-products
  fit_status* status = nullptr;    ///< [b], optional
  /// [b][fit_options::max_iterations], optional; needs n_init = 1. Entry i is written by update i +
  /// 1; those of updates that a problem did not need stay as they are.
  iteration_record* records = nullptr;

  fit_outputs() = default;
  /// From labels alone, or with more.
  fit_outputs(std::int32_t* labels_, cluster_index index_ = {}, fit_status* status_ = nullptr,
              iteration_record* records_ = nullptr)
      : labels(labels_), index(index_), status(status_), records(records_) {}
};

/// What predict writes. A plain label pointer converts. C is the type of the centroids.
template <class C>
struct predict_outputs {
  std::int32_t* labels = nullptr;  ///< [b][n], contiguous, required
  C* distances = nullptr;  ///< [b][n], optional: the metric's distance to the nearest centroid
                           ///< (euclidean: squared)

  predict_outputs() = default;
  /// From labels alone, or with distances.
  predict_outputs(std::int32_t* labels_, C* distances_ = nullptr)
      : labels(labels_), distances(distances_) {}
};

/// What top_k writes. A plain label pointer converts. C is the type of the centroids.
template <class C>
struct top_k_outputs {
  std::int32_t* labels = nullptr;  ///< [b][n][j], contiguous, required: the nearest first
  C* distances = nullptr;          ///< [b][n][j], optional: the metric's distances to them

  top_k_outputs() = default;
  /// From labels alone, or with distances.
  top_k_outputs(std::int32_t* labels_, C* distances_ = nullptr)
      : labels(labels_), distances(distances_) {}
};

/// What update_centroids writes besides the centroids.
struct update_outputs {
  /// optional by-products
  cluster_index index{};
  /// [b], optional: sum of the squared distances that the centroids moved
  double* shift = nullptr;

  update_outputs() = default;
  /// From by-products alone, or with shifts.
  update_outputs(cluster_index index_, double* shift_ = nullptr) : index(index_), shift(shift_) {}
};

/// A fit in one glance; a batch is folded into one.
struct fit_result {
  int iterations = 0;                               ///< most over the problems
  bool converged = false;                           ///< all problems did
  double inertia = 0;                               ///< summed over the problems
  assign_kernel kernel = assign_kernel::automatic;  ///< what the assignments ran on
  std::int64_t non_finite = 0;                      ///< summed over the problems
};

/// A call into CUDA failed. The failure is not left behind for the caller's next cudaGetLastError,
/// unless the device itself faulted.
///
/// A verb that cannot get memory, has no kernel for the device, or is refused by a check of the
/// host throws before it queues anything. When a launch fails after others have succeeded (the
/// driver is out of memory, say, or an earlier kernel of the program has faulted), the work before
/// it stays queued: the outputs of the call are then unspecified once the stream has run, and
/// nothing else is written. A capture that fails that way must be ended and thrown away.
class cuda_error : public std::runtime_error {
 public:
  /// what: says which call
  cuda_error(int code, std::string const& what) : std::runtime_error(what), code_(code) {}
  /// The cudaError_t.
  int code() const noexcept { return code_; }

 private:
  int code_;
};

}  // namespace flash_kmeans
